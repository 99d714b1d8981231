"""The Celery door of lead billing: a call becomes inbox rows, and a drain charges them.

`charge(lead_id, account, package_price_paise, source=None, occurred_at=None)` bills one lead,
`charge_many(leads=[{...}])` up to 10,000, each with the fields of `charge`. Any Celery app on the
same Redis calls them by name. Nothing is answered: what became of a lead is its row.
"""

import random
import time
from collections.abc import Mapping
from typing import Any

import structlog
from celery.exceptions import Reject, SoftTimeLimitExceeded

import clock
from db import inbox
from db.errors import TransientError
from db.session import transaction
from tasks import copies, lead_calls, nudges
from tasks.beside import Beside
from worker.app import app

log = structlog.get_logger()

PATIENCE_SECONDS = 25
"""A call waits this long in its task for PostgreSQL; a last attempt still ends in time."""
RECOVER_SECONDS = 10
"""A recovery leaves the rest to the next tick after this."""
NUDGE_SECONDS = 1.0
"""A process nudges for its calls this often at most, the first one at once: calls come one by one,
and drains that follow each other closely find a handful of rows and slow the calls down."""
_ROWS_AT_ONCE = 1_000

# A call that was not recorded must come back: no row stands for it yet.
_KEPT = {"acks_on_failure_or_timeout": False, "recorded_by_task": True}


def _door(name: str) -> Mapping[str, Any]:
    return {"name": name, "bind": True, "parameters": lead_calls.PARAMETERS[name], **_KEPT}


# Whatever the arguments are, the call must reach us: we bind them ourselves.
@app.task(**_door("tasks.leads.charge"))
def charge(self: Any, /, *args: Any, **kwargs: Any) -> None:
    """Record one lead to charge; what cannot be charged becomes a dead row."""
    _record_call(self, args, kwargs)


@app.task(**_door("tasks.leads.charge_many"))
def charge_many(self: Any, /, *args: Any, **kwargs: Any) -> None:
    """Record leads to charge, all or none; each that cannot be charged becomes a dead row."""
    _record_call(self, args, kwargs)


@app.task(name="tasks.leads.recover")
def recover() -> None:
    """Record the calls whose message was lost, from the copies that their senders keep."""
    stop_at = time.monotonic() + RECOVER_SECONDS
    recovered = 0
    for batch in copies.old_ones(now=clock.now()):
        rows, found = lead_calls.Rows(), []
        for copy in batch:
            more = copies.rows_of(copy)
            rows.events.extend(more.events)
            rows.refused.extend(more.refused)
            found.append(copy.field)
            if len(rows.events) >= _ROWS_AT_ONCE:
                recovered += _recover(rows, found)
                rows, found = lead_calls.Rows(), []
        recovered += _recover(rows, found)
        if time.monotonic() > stop_at:
            break
    if recovered:
        log.info("calls recovered", copies=recovered)


def _recover(rows: lead_calls.Rows, found: list[bytes]) -> int:
    if found:
        _record(rows)
        copies.remove(found)
        _nudger.ask(lead_calls.SOURCE)
    return len(found)


def _record_call(task: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    task_id = task.request.id
    _record_patiently(lead_calls.read(task.name, task_id, args, kwargs))
    _nudger.ask(lead_calls.SOURCE)
    field = task.request.get(copies.HEADER)
    if isinstance(field, str):
        copies.forget_soon(field)


def _record_patiently(rows: lead_calls.Rows) -> None:
    """Record, waiting for PostgreSQL as long as a task may; then put the message back."""
    try:
        reason = _try_to_record(rows, until=time.monotonic() + PATIENCE_SECONDS)
    except SoftTimeLimitExceeded:
        reason = "out of time"
    if reason is not None:
        log.warning("call put back", reason=reason)
        raise Reject("the call could not be recorded and waits in its queue", requeue=True)


def _try_to_record(rows: lead_calls.Rows, *, until: float) -> str | None:
    pause = 0.1
    while True:
        try:
            _record(rows)
        except TransientError as error:
            if time.monotonic() + pause > until:
                return type(error).__name__
        else:
            return None
        time.sleep(pause * random.uniform(0.75, 1.0))  # noqa: S311 - spreads load
        pause = min(2 * pause, 2)


def _record(rows: lead_calls.Rows) -> None:
    if not rows.events and not rows.refused:
        return
    if len(rows.events) == 1 and not rows.refused:
        inbox.record_one(rows.events[0])
        return
    with transaction() as session:
        if rows.events:
            inbox.record(session, rows.events)
        inbox.record_dead(session, rows.refused)


_nudger = Beside("nudger of calls", nudges.send_all, pause_seconds=NUDGE_SECONDS)

"""The Celery door of lead billing: a call becomes inbox rows, and a drain charges them.

`charge(lead_id, account, package_price_paise, source=None, occurred_at=None)` bills one lead,
`charge_many(leads=[{...}])` up to 10,000, each with the fields of `charge`. Any Celery app on the
same Redis calls them by name. They return nothing: the outcome of a lead is its row.
"""

import time
from collections.abc import Mapping
from typing import Any

import structlog

import clock
from tasks.inbox import recorder
from tasks.inbox.call_rows import CallRows
from tasks.leads import call_copies, calls
from tasks.plumbing import nudges
from tasks.plumbing.background import BackgroundBatcher
from worker.app import app

log = structlog.get_logger()

RECOVER_SECONDS = 10
"""After this a recovery leaves the rest to the next tick."""
NUDGE_SECONDS = 1.0
"""A process nudges for its calls at most this often, for the first one at once. Calls come one by
one, and drains close behind each other find a handful of rows and slow the calls down."""
_ROWS_AT_ONCE = 1_000


def _door(name: str) -> Mapping[str, Any]:
    return recorder.door_options(name, calls.PARAMETERS[name])


# A call must reach us whatever its arguments are: we bind them ourselves.
@app.task(**_door("tasks.leads.charge"))
def charge(self: Any, /, *args: Any, **kwargs: Any) -> None:
    """Record one lead to charge; one that cannot be charged becomes a dead row."""
    _record_call(self, args, kwargs)


@app.task(**_door("tasks.leads.charge_many"))
def charge_many(self: Any, /, *args: Any, **kwargs: Any) -> None:
    """Record leads to charge, all or none; each that cannot be charged becomes a dead row."""
    _record_call(self, args, kwargs)


@app.task(name="tasks.leads.recover")
def recover() -> None:
    """Record the calls whose message was lost, from the copies that their senders wrote."""
    stop_at = time.monotonic() + RECOVER_SECONDS
    recovered = 0
    for batch in call_copies.find_old(now=clock.now()):
        rows, found = CallRows(), []
        for copy in batch:
            more = call_copies.rows_of(copy)
            rows.events.extend(more.events)
            rows.refused.extend(more.refused)
            found.append(copy.field)
            if len(rows.events) >= _ROWS_AT_ONCE:
                recovered += _recover(rows, found)
                rows, found = CallRows(), []
        recovered += _recover(rows, found)
        if time.monotonic() > stop_at:
            break
    if recovered:
        log.info("calls recovered", copies=recovered)


def _recover(rows: CallRows, found: list[bytes]) -> int:
    if found:
        recorder.record(rows)
        call_copies.remove(found)
        _nudger.add(calls.SOURCE)
    return len(found)


def _record_call(task: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    task_id = task.request.id
    recorder.record_or_requeue(calls.read(task.name, task_id, args, kwargs))
    _nudger.add(calls.SOURCE)
    field = task.request.get(call_copies.HEADER)
    if isinstance(field, str):
        call_copies.remove_in_background(field)


_nudger = BackgroundBatcher("nudger of calls", nudges.send_all, pause_seconds=NUDGE_SECONDS)

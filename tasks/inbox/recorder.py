"""The recorder of calls: all rows in one commit, before anything else happens.

For the tasks that any Celery app may call. It waits for PostgreSQL for a while; a call that cannot
be recorded goes back to its queue.
"""

import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from celery.exceptions import Reject, SoftTimeLimitExceeded

from db import deliveries
from db.session import transaction
from errors import TransientError
from tasks.inbox.call_rows import CallRows

log = structlog.get_logger()

PATIENCE_SECONDS = 25
"""How long a call waits in its task for PostgreSQL; a last attempt still ends in time."""

# A call that was not recorded must come back: no row stands for it yet.
_KEPT = {"acks_on_failure_or_timeout": False, "recorded_by_task": True}


def door_options(name: str, parameters: Sequence[str]) -> Mapping[str, Any]:
    """Return the options of a task that records its call and binds its arguments itself."""
    return {"name": name, "bind": True, "parameters": parameters, **_KEPT}


def record_or_requeue(rows: CallRows) -> None:
    """Record, waiting for PostgreSQL as long as a task may; raises `Reject` if it stays away.

    The message is then back in its queue.
    """
    try:
        reason = _try_to_record(rows, until=time.monotonic() + PATIENCE_SECONDS)
    except SoftTimeLimitExceeded:
        reason = "out of time"
    if reason is not None:
        log.warning("call put back", reason=reason)
        raise Reject("the call could not be recorded and waits in its queue", requeue=True)


def record(rows: CallRows) -> None:
    """Record all rows of a call, or none."""
    if not rows.events and not rows.refused:
        return
    if len(rows.events) == 1 and not rows.refused:
        deliveries.record_one(rows.events[0])
        return
    with transaction() as session:
        if rows.events:
            deliveries.record(session, rows.events)
        deliveries.record_dead(session, rows.refused)


def _try_to_record(rows: CallRows, *, until: float) -> str | None:
    pause = 0.1
    while True:
        try:
            record(rows)
        except TransientError as error:
            if time.monotonic() + pause > until:
                return type(error).__name__
        else:
            return None
        time.sleep(pause * random.uniform(0.75, 1.0))  # noqa: S311 - spreads load
        pause = min(2 * pause, 2)

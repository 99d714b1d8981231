"""Copies of calls, which our client keeps in Redis until the call is an inbox row.

Celery's Redis transport can lose a message when a worker is killed at the hand-over. So the
client writes a copy before it publishes, the task removes it after its commit, and
`tasks.leads.recover` records what is still there after a minute, as the task would have.
See docs/decisions/0007-copies-of-calls.md.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

import clock
from db.deliveries import NewEvent, RefusedEvent
from tasks.inbox import call_rows, subjects
from tasks.leads import calls
from tasks.plumbing import broker
from tasks.plumbing.background import BackgroundBatcher
from worker import redaction

log = structlog.get_logger()

KEY = "billing:lead_copies"
"""A hash: task id and digest of the call -> JSON {"id", "task", "kwargs", "at" (unix seconds)}."""
HEADER = "billing_copy"
"""The message header that names the field of its call's copy."""
OLD_AFTER_SECONDS = 60
_BATCH = 100
_MAX_KEPT_BYTES = 1024 * 1024

_redis = broker.connect()


@dataclass(frozen=True, slots=True)
class Copy:
    """One entry of the hash; `call` is None if our client did not write it."""

    field: bytes
    value: bytes
    call: dict[str, Any] | None


def find_old(*, now: datetime) -> Iterator[list[Copy]]:
    """Yield, in small batches, the copies that are older than a minute or of no known form."""
    cursor = 0
    while True:
        scanned: Any = _redis.hscan(KEY, cursor, count=_BATCH)
        cursor, entries = scanned
        copies = [Copy(field, value, _call_in(value)) for field, value in entries.items()]
        old = [copy for copy in copies if copy.call is None or _is_old(copy.call["at"], now)]
        if old:
            yield old
        if not cursor:
            return


def rows_of(copy: Copy) -> call_rows.CallRows:
    """Return what the task would have recorded; a dead row if the copy is no call."""
    if copy.call is not None:
        # The id in the message: an id that is used again has a copy for each of its calls.
        task_id = redaction.task_id(copy.call["id"])
        return calls.read(copy.call["task"], task_id, (), copy.call["kwargs"])
    event = NewEvent(
        calls.SOURCE,
        call_rows.event_id_of(copy.field.decode("utf-8", "backslashreplace")),
        copy.value[:_MAX_KEPT_BYTES],
        clock.now(),
    )
    reason = "UnreadableCopy: the copy of a call is no call"
    about = subjects.read(event.body, calls.PARAMETERS)
    return call_rows.CallRows(refused=[RefusedEvent(event, reason, subject=about)])


def remove(fields: Iterable[bytes | str]) -> None:
    """Remove the copies of recorded calls; raises the errors of `broker.UNREACHABLE`."""
    _redis.hdel(KEY, *fields)


def remove_in_background(field: str) -> None:
    """Have a thread remove a copy; one that stays is recorded again, to no effect."""
    _batcher.add(field)


def _call_in(value: bytes) -> dict[str, Any] | None:
    try:
        call = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(call, dict) or not isinstance(call.get("kwargs"), dict):
        return None
    task, at = call.get("task"), call.get("at")
    known = isinstance(task, str) and task in calls.PARAMETERS
    known = known and isinstance(call.get("id"), str)
    return call if known and type(at) in {int, float} else None


def _is_old(at: int | float, now: datetime) -> bool:
    # If a sender's clock is wrong, its copies are old too early, which does no harm.
    try:
        return not abs(now.timestamp() - at) < OLD_AFTER_SECONDS  # NaN is old
    except OverflowError:
        return True


def _remove_all(fields: set[str]) -> None:
    try:
        remove(fields)
    except (*broker.UNREACHABLE, UnicodeError) as error:
        log.warning("copies not removed", copies=len(fields), error=type(error).__name__)


_batcher = BackgroundBatcher("copies", _remove_all)

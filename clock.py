"""The only reader of the current time, for every process and every rule.

SQL never asks for `now()`: the time a rule saw is passed in as a parameter, so that tests (and
the development clock) can move it and a rule can be run again for the moment it first ran.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

_offset = timedelta(0)
_frozen_at: datetime | None = None


def now() -> datetime:
    """Return the current time, aware and in UTC, with microseconds."""
    if _frozen_at is not None:
        return _frozen_at
    return datetime.now(UTC) + _offset  # noqa: TID251 - this is the one place


@contextmanager
def frozen(at: datetime) -> Iterator[None]:
    """Hold the clock of this process at `at` (aware); for tests."""
    global _frozen_at  # noqa: PLW0603 - one clock a process is the point of this module
    if at.tzinfo is None:
        raise ValueError("the clock takes aware times only: give the datetime a time zone")
    before, _frozen_at = _frozen_at, at.astimezone(UTC)
    try:
        yield
    finally:
        _frozen_at = before


def advance(by: timedelta) -> None:
    """Move the clock of this process forward by `by`; frozen or running; for tests."""
    global _frozen_at, _offset  # noqa: PLW0603
    if _frozen_at is not None:
        _frozen_at += by
    else:
        _offset += by

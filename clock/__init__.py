"""The only reader of the current time, for every process and every rule.

SQL never asks for `now()`: the time is passed in as a parameter, so that tests and the development
clock can move it, and a rule can run again for the moment at which it first ran.

The development clock is a file that says how far time is ahead. A process that follows it looks at
the file whenever it asks for the time; one that follows none pays nothing. `clock/development.py`
decides what is written into the file.
"""

import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

MOST_AHEAD = timedelta(days=36_525)
"""A hundred years: further than anybody needs, and far from the end of the calendar."""

_offset = timedelta(0)
_frozen_at: datetime | None = None
_followed: "_Followed | None" = None


class ClockError(Exception):
    """The file of a development clock cannot be read or written; the message names it."""


def now() -> datetime:
    """Return the current time, aware and in UTC, with microseconds."""
    if _frozen_at is not None or _followed is None:
        return real_now()
    return real_now() + _followed.ahead()


def real_now() -> datetime:
    """Return the time without the development clock; for whatever moves that clock."""
    if _frozen_at is not None:
        return _frozen_at
    return datetime.now(UTC) + _offset  # noqa: TID251 - this is the one place


@contextmanager
def frozen(at: datetime) -> Iterator[None]:
    """Stop the clock of this process at `at` (aware); for tests."""
    global _frozen_at  # noqa: PLW0603 - one clock a process is the point of this module
    if at.tzinfo is None:
        raise ValueError("the clock needs an aware time: give the datetime a time zone")
    before, _frozen_at = _frozen_at, at.astimezone(UTC)
    try:
        yield
    finally:
        _frozen_at = before


def advance(by: timedelta) -> None:
    """Move the clock of this process forward by `by`, frozen or running; for tests."""
    global _frozen_at, _offset  # noqa: PLW0603
    if _frozen_at is not None:
        _frozen_at += by
    else:
        _offset += by


def follow(path: Path | None) -> None:
    """Keep this process as far ahead as the file at `path` says; None: follow no file.

    Raises `ClockError` if the file cannot be read. If that happens later, or the file is gone, time
    stays as far ahead as it is, and the problem is logged once: time must not jump back.
    """
    global _followed  # noqa: PLW0603
    _followed = None if path is None else _Followed(path)


def read_ahead(path: Path) -> timedelta:
    """Return how far the file at `path` says that time is ahead; zero if there is no file.

    Raises `ClockError`.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return timedelta(0)
    except OSError as error:
        raise _unreadable(path, error.strerror or type(error).__name__) from None
    except (ValueError, RecursionError):
        raise _unreadable(path, "it is not JSON") from None
    seconds: Any = content.get("offset_seconds") if isinstance(content, dict) else None
    if type(seconds) not in {int, float} or not 0 <= seconds <= MOST_AHEAD.total_seconds():
        raise _unreadable(
            path, "offset_seconds must be a number of seconds from 0 to a hundred years"
        )
    return timedelta(seconds=seconds)


def write_ahead(path: Path, ahead: timedelta) -> None:
    """Replace the file at `path` at once: a reader sees the old text or the new one.

    Raises `ClockError`.
    """
    text = json.dumps({"offset_seconds": ahead.total_seconds()}) + "\n"
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
            Path(name).replace(path)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(name).unlink()
            raise
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ClockError(f"the development clock {path} cannot be written ({why})") from None


def _unreadable(path: Path, why: str) -> ClockError:
    return ClockError(
        f"the development clock {path} cannot be read ({why}): write"
        ' {"offset_seconds": N} into it, with N the seconds that time was ahead, or delete it'
        " together with the data of this stack"
    )


class _Followed:
    """The file that this process follows; it is read again when it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._signature()
        self._ahead = read_ahead(path)

    def ahead(self) -> timedelta:
        signature = self._signature()
        if signature != self._seen:
            # Before reading: if that logs, the log line asks for the time again.
            self._seen = signature
            try:
                self._ahead = self._read_again()
            except ClockError as error:
                logging.getLogger("clock").error("%s; time stays %s ahead", error, self._ahead)
        return self._ahead

    def _read_again(self) -> timedelta:
        if self._seen is None:
            raise _unreadable(self._path, "it is gone")
        return read_ahead(self._path)

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

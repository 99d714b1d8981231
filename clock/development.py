"""The development clock: moving time forward, so that a year can be watched in a minute.

It is a file in the data folder of the development stack. The rows of that stack's database are
ahead with it, so the file survives restarts, and time never moves back. Every process calls
`follow` at its start; `billing clock` moves time. No rule and no table knows about it.
"""

import fcntl
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import clock
import settings
from errors import PermanentError

LONGEST_STEP = timedelta(days=1)
SHORTEST_STEP = timedelta(hours=1)
STEPS_A_SECOND = 4


class NotInDevelopment(PermanentError):
    """There is no development clock here, so time cannot be moved."""

    def __init__(self) -> None:
        super().__init__(
            "time can be moved in development only: on the stack of `make run`, with the"
            " PostgreSQL that it brings along and no live key of a gateway. Start such a stack,"
            " and unset DATABASE_URL if it names another database"
        )


class TimeCannotMove(PermanentError):
    """The development clock cannot be moved as asked."""


@dataclass(frozen=True)
class Reading:
    """What the development clock shows; both times are aware and in UTC."""

    real_time: datetime
    time: datetime
    file: Path

    @property
    def ahead(self) -> timedelta:
        """How far time is ahead."""
        return self.time - self.real_time


def follow() -> None:
    """Make this process follow the development clock, if its settings name one.

    Called at the start of every process. Raises `settings.SettingsError`.
    """
    try:
        clock.follow(settings.get().billing_development_clock)
    except clock.ClockError as error:
        raise settings.SettingsError(str(error)) from None


def read() -> Reading:
    """Return what the clock shows. Raises `NotInDevelopment` or `TimeCannotMove`."""
    path = _path()
    with _as_time_cannot_move():
        ahead = clock.read_ahead(path)
    real_time = clock.real_now()
    return Reading(real_time, real_time + ahead, path)


def advance(by: timedelta) -> Reading:
    """Move time forward by `by`. Raises `NotInDevelopment` or `TimeCannotMove`."""
    if by <= timedelta(0):
        raise TimeCannotMove("time does not go back: advance it by more than zero")
    return _move(lambda before: before.ahead + by)


def move_to(moment: datetime) -> Reading:
    """Move time forward to `moment` (aware). Raises `NotInDevelopment` or `TimeCannotMove`."""

    def target(before: Reading) -> timedelta:
        if moment <= before.time:
            raise TimeCannotMove(
                f"it is already {before.time.isoformat(timespec='seconds')}, and time does not go"
                f" back: name a later time than {moment.isoformat()}, or delete the data of this"
                " stack for a new start"
            )
        return moment - before.real_time

    return _move(target)


def steps_of(span: timedelta, *, seconds: float) -> int:
    """Return the number of equal steps in which `span` passes within `seconds` of real time.

    A step is a day at most; it is shorter, down to an hour, if there is time for more steps.
    """
    fewest = math.ceil(span / LONGEST_STEP)
    finest = math.ceil(span / SHORTEST_STEP)
    return max(1, fewest, min(finest, int(seconds * STEPS_A_SECOND)))


def _move(target: Callable[[Reading], timedelta]) -> Reading:
    path = _path()
    with _as_time_cannot_move(), _alone(path):
        before = read()
        ahead = target(before)
        if ahead > clock.MOST_AHEAD:
            raise TimeCannotMove("time can be at most a hundred years ahead: name an earlier time")
        clock.write_ahead(path, ahead)
    return Reading(before.real_time, before.real_time + ahead, path)


def _path() -> Path:
    path = settings.get().billing_development_clock
    if path is None:
        raise NotInDevelopment
    return path


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time move the clock, so that no move is lost."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


@contextmanager
def _as_time_cannot_move() -> Iterator[None]:
    try:
        yield
    except clock.ClockError as error:
        raise TimeCannotMove(str(error)) from None
    except OSError as error:
        raise TimeCannotMove(f"the development clock cannot be moved ({error.strerror})") from None

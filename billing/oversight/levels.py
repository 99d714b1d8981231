"""A finding and its level. Pure: the level follows from a count and an age."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

COUNTED = 10_000
"""Rows are counted up to this number, and one more stands for "and more"."""


class Level(StrEnum):
    """How it stands; the exit code of `billing status` is its place in this list."""

    WELL = "well"
    ATTENTION = "attention"
    BROKEN = "broken"

    @property
    def exit_code(self) -> int:
        """Return 0, 1 or 2."""
        return list(Level).index(self)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found by one question."""

    what: str
    """A name for machines that stays, such as `events_dead`."""
    level: Level
    count: int
    """Up to `COUNTED` + 1."""
    oldest_seconds: int | None
    """How long the oldest waits; None: nothing waits, or its time is not known."""
    look: str
    """What to do or to read next: a command, or a sentence."""


@dataclass(frozen=True, slots=True)
class Patience:
    """From which age of the oldest row a finding is worth attention, and from which it is broken.

    None: never. `timedelta(0)`: as soon as there is one row.
    """

    attention: timedelta | None = None
    broken: timedelta | None = None

    def level(self, count: int, age: timedelta | None) -> Level:
        """Return the level for so many rows, the oldest so old (None: not known)."""
        if not count:
            return Level.WELL
        for limit, level in ((self.broken, Level.BROKEN), (self.attention, Level.ATTENTION)):
            if limit is not None and (age is None or age >= limit):
                return level
        return Level.WELL


def worst(levels: Iterable[Level]) -> Level:
    """Return the worst of the levels; of none, well."""
    return max(levels, key=lambda level: level.exit_code, default=Level.WELL)

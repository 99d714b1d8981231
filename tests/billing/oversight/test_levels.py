"""A level follows from how many wait and for how long; the worst level counts."""

from datetime import timedelta

import pytest

from billing.oversight import Level, worst
from billing.oversight.levels import Patience

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("count", "age", "level"),
    [
        (0, None, Level.WELL),
        (5, MINUTE, Level.WELL),
        (5, 2 * MINUTE, Level.ATTENTION),
        (5, 15 * MINUTE, Level.BROKEN),
        (5, None, Level.BROKEN),
    ],
)
def test_the_level_follows_from_the_age_of_the_oldest(
    count: int, age: timedelta | None, level: Level
) -> None:
    assert Patience(2 * MINUTE, 15 * MINUTE).level(count, age) is level


def test_what_nobody_waits_for_is_well_however_old() -> None:
    assert Patience().level(5, timedelta(days=900)) is Level.WELL


def test_what_needs_a_person_needs_attention_at_once_and_is_never_broken() -> None:
    person = Patience(attention=timedelta(0))
    for age in (timedelta(0), timedelta(days=900), None):
        assert person.level(1, age) is Level.ATTENTION


def test_the_worst_level_counts_and_is_the_exit_code() -> None:
    assert worst([]) is Level.WELL
    assert worst([Level.WELL, Level.BROKEN, Level.ATTENTION]) is Level.BROKEN
    assert [level.exit_code for level in Level] == [0, 1, 2]

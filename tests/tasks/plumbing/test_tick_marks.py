"""A tick that a worker has done leaves a mark; whether it is late follows from its period."""

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from redis import Redis

import clock
from tasks.plumbing import tick_marks, ticks
from tests.stack_process import eventually
from tests.worker_process import WorkerProcess

SWEEP, CHECK = "tasks.inbox.sweep", "tasks.ledger.check"


def test_a_worker_marks_the_ticks_that_it_has_done(
    database: str, redis: Redis, tmp_path: Path
) -> None:
    assert set(tick_marks.read().values()) == {None}

    with WorkerProcess(tmp_path / "worker.log"):
        ticks.send_all()
        done = [task for task in tick_marks.PERIODS if task not in ticks.NOT_SENT]
        eventually("ticks are marked", lambda: all(tick_marks.read()[task] for task in done))

    for task in done:
        at = tick_marks.read()[task]
        assert at is not None
        assert timedelta(0) <= clock.real_now() - at < timedelta(minutes=1)


def test_a_tick_that_was_not_done_yet_counts_from_the_first_of_all(redis: Redis) -> None:
    now = clock.real_now()
    tick_marks._mark(SimpleNamespace(name=SWEEP))
    for minutes, late in ((1, False), (99, False), (101, True)):
        at = tick_marks.read()[CHECK]
        assert tick_marks.is_late(CHECK, at, now=now + timedelta(minutes=minutes)) is late


@pytest.mark.parametrize(
    ("task", "seconds", "late"),
    [
        (SWEEP, 59, False),
        (SWEEP, 61, True),
        (SWEEP, None, True),
        (CHECK, 5_900, False),
        (CHECK, 6_100, True),
        (CHECK, None, True),
    ],
)
def test_a_tick_is_late_if_ten_were_missed(task: str, seconds: int | None, late: bool) -> None:
    now = clock.real_now()
    at = None if seconds is None else now - timedelta(seconds=seconds)
    assert tick_marks.is_late(task, at, now=now) is late

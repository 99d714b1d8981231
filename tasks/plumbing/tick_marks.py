"""When each tick of beat was last done: a mark in Redis, which the next tick writes again.

`billing status` reads the marks to say whether ticks come. They prove nothing and decide nothing:
after a flush of Redis they are back within a minute. Loaded by every worker (`celeryconfig.py`).
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, cast

from celery.signals import task_success

import celeryconfig
import clock
from tasks.plumbing import broker

KEY = "billing:ticks"
_SCHEDULE: Mapping[str, Mapping[str, Any]] = celeryconfig.beat_schedule
PERIODS = {tick["task"]: timedelta(seconds=tick["schedule"]) for tick in _SCHEDULE.values()}
"""How often beat sends each tick."""

_redis = broker.connect()


@task_success.connect
def _mark(sender: Any, **_: object) -> None:
    if sender.name in PERIODS:
        with suppress(*broker.UNREACHABLE):
            now = clock.real_now().isoformat()
            _redis.hsetnx(KEY, _SINCE, now)
            _redis.hset(KEY, sender.name, now)


def read() -> dict[str, datetime | None]:
    """Return when each tick was last done, in real time.

    For one that was not done yet: when the first of all was, since the stack or Redis may be new.
    None: no tick was done since Redis began. Raises the errors of `broker.UNREACHABLE`.
    """
    marks = cast(dict[bytes, bytes], _redis.hgetall(KEY))
    found = {name.decode(): moment.decode() for name, moment in marks.items()}
    since = found.get(_SINCE)
    last = {task: found.get(task, since) for task in PERIODS}
    return {task: datetime.fromisoformat(at) if at else None for task, at in last.items()}


def is_late(task: str, done_at: datetime | None, *, now: datetime) -> bool:
    """Return whether a tick should have been done long ago: ten of them were missed.

    `now` is the real time: beat knows no other. Without any mark all are late.
    """
    return done_at is None or now - done_at > max(PERIODS[task] * 10, _SHORTEST)


_SINCE = "since"
_SHORTEST = timedelta(minutes=1)

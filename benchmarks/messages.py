"""Celery messages, written while no worker takes them and let loose all at once.

Celery's own `send_task` writes each of them to the queue it belongs to. Then the whole list is
put aside in Redis under a name that no worker reads, until a rename puts it back: so the same
worker processes, running and warm, find a queue that was filled before the clock started.
"""

import time
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from redis import Redis

from benchmarks.report import WrongOutcome
from tasks.plumbing import broker

QUEUE = "leads"
NOOP = "benchmarks.noop"
INCLUDE = "benchmarks.noop"
"""The module of the no-op task, for the worker's command line."""
POLL_SECONDS = 0.02
LONGEST_SECONDS = 600

_UNACKNOWLEDGED = "unacked"
"""The hash in which Celery's transport keeps what was taken and not acknowledged yet."""


def write(run: str, task: str, calls: Iterable[dict[str, Any]]) -> int:
    """Write a message for each call and put all aside as `run`'s; return how many.

    No worker may be running. The ids of the tasks start with the run's name.
    """
    # Imported here: it reads the settings when it is, and the lab sets them.
    from worker.app import app  # noqa: PLC0415 - the app reads the settings

    redis = broker.connect()
    _require_empty(redis)
    count = 0
    with app.producer_pool.acquire(block=True) as producer:
        for kwargs in calls:
            app.send_task(
                task, kwargs=kwargs, queue=QUEUE, task_id=f"{run}-{uuid4()}", producer=producer
            )
            count += 1
    redis.rename(QUEUE, _aside(run))
    return count


def let_loose(run: str) -> None:
    """Put the run's messages into the queue once it is empty, of a last nudge too."""
    wait_until_taken()
    redis = broker.connect()
    if not redis.renamenx(_aside(run), QUEUE):
        raise WrongOutcome("somebody else sends to a queue that should be empty")


def wait_until_taken() -> float:
    """Wait until the queue is empty and all is acknowledged; return that `time.perf_counter`."""
    redis = broker.connect()
    give_up_at = time.monotonic() + LONGEST_SECONDS
    empty_since: float | None = None
    while time.monotonic() < give_up_at:
        now = time.perf_counter()
        if any(_left(redis)):
            empty_since = None
        elif empty_since is not None:
            return empty_since
        else:
            empty_since = now  # or a message is between the two just now: look once more
        time.sleep(POLL_SECONDS)
    raise WrongOutcome(f"messages still wait after {LONGEST_SECONDS} s: {_left(redis)}")


def seconds_to_take(run: str) -> float:
    """Let the run's messages loose; return the time until all are acknowledged."""
    let_loose(run)
    started = time.perf_counter()
    return wait_until_taken() - started


def _left(redis: Redis) -> tuple[int, int]:
    """Return how many messages wait, and how many are taken and not acknowledged."""
    return redis.llen(QUEUE), redis.hlen(_UNACKNOWLEDGED)


def _require_empty(redis: Redis) -> None:
    if any(left := _left(redis)):
        raise WrongOutcome(f"{left[0]} messages in a queue that should be empty, {left[1]} taken")


def _aside(run: str) -> str:
    return f"{run}:messages"

"""The ticks of beat, sent by hand after a jump of the development clock.

Nothing depends on it: beat sends the same ticks at its own times.
"""

import json
import time
from typing import Any

import celeryconfig
from tasks.plumbing import broker
from worker.app import app

NOT_SENT = frozenset({"tasks.payments.ask", "tasks.refunds.ask", "tasks.ledger.check"})
"""They call the gateways, or verify the whole ledger: beat does so soon enough."""
_NOT_AWAITED = "notices"
"""A stranger's server may take its time to answer, and nothing of the calendar depends on it."""
QUEUES = tuple(q.name for q in celeryconfig.task_queues if q.name != _NOT_AWAITED)
_SCHEDULE: dict[str, dict[str, Any]] = celeryconfig.beat_schedule
_UNACKNOWLEDGED = "unacked"
"""The hash in which kombu keeps the messages that workers have not finished."""
_PAUSE_SECONDS = 0.005

_redis = broker.connect()


def send_all() -> None:
    """Send every tick of beat but `NOT_SENT`; raises the errors of `broker.UNREACHABLE`."""
    for tick in _SCHEDULE.values():
        if tick["task"] not in NOT_SENT:
            app.send_task(
                tick["task"],
                args=tick.get("args", ()),
                kwargs=tick.get("kwargs", {}),
                **tick.get("options", {}),
            )


def wait_until_done(*, seconds: float, quiet_seconds: float) -> bool:
    """Wait until the workers have nothing to do; return whether that was within `seconds`.

    That is so if nothing is found for `quiet_seconds`: on its way to a worker, a message is in no
    list. Notices are not waited for. Raises the errors of `broker.UNREACHABLE`.
    """
    deadline = time.monotonic() + seconds
    quiet_since = None
    while quiet_since is None or time.monotonic() - quiet_since < quiet_seconds:
        if not _is_idle():
            quiet_since = None
        elif quiet_since is None:
            quiet_since = time.monotonic()
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True


def _is_idle() -> bool:
    with _redis.pipeline(transaction=True) as look:
        for queue in QUEUES:
            look.llen(queue)
        look.hvals(_UNACKNOWLEDGED)
        *waiting, unfinished = look.execute()
    return not any(waiting) and not any(map(_is_awaited, unfinished))


def _is_awaited(unfinished: bytes) -> bool:
    """Return whether a message that a worker has taken is of a queue that is waited for."""
    # As kombu writes it: the message, its exchange and its routing key, which is the queue's name.
    [*_, queue] = json.loads(unfinished)
    return bool(queue != _NOT_AWAITED)

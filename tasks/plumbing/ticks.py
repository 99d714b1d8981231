"""The ticks of beat, sent by hand after a jump of the development clock.

Nothing depends on it: beat sends the same ticks at its own times.
"""

import time
from typing import Any

import celeryconfig
from tasks.plumbing import broker
from worker.app import app

NOT_SENT = frozenset({"tasks.payments.ask", "tasks.refunds.ask", "tasks.ledger.check"})
"""They call the gateways, or verify the whole ledger: beat does so soon enough."""
QUEUES = tuple(queue.name for queue in celeryconfig.task_queues)
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
    list. Raises the errors of `broker.UNREACHABLE`.
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
        look.hlen(_UNACKNOWLEDGED)
        return not any(look.execute())

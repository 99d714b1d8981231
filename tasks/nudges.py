"""Nudges: asking a worker to look at the inbox now, in place of at the next sweep.

Coalesced: while one waits in the queue of a source, another is not sent. A nudge that is lost,
or cannot be sent because Redis is away, costs seconds and never an event: the sweep asks again
for whatever is due. So nothing here raises.
"""

from collections.abc import Iterable

import structlog

from tasks import broker
from tasks.beside import Beside
from worker.app import app

log = structlog.get_logger()

DRAIN_TASK = "tasks.inbox.drain"
STANDS_SECONDS = 15
"""How long a nudge stands: after that it is taken for lost, and another may be sent."""
EXPIRES_SECONDS = 300
"""When its message is dropped unread, by the worker's clock, which may be ahead of the sender's."""

_QUEUES = {"lead_calls": "leads"}
_SWEEPS_QUEUE = "schedule"

_redis = broker.connect()


def send(source: str, *, by_sweep: bool = False) -> bool:
    """Ask for a drain of `source` unless one is waiting; return whether a message was sent.

    The sweep's nudge is one of its own, on its own queue: another may wait behind thousands of
    calls, and the queues take turns.
    """
    flag, queue = _flag(source), queue_of(source)
    if by_sweep:
        flag, queue = _sweeps_flag(source), _SWEEPS_QUEUE
    try:
        if not _redis.set(flag, 1, nx=True, ex=STANDS_SECONDS):
            return False
        try:
            app.send_task(DRAIN_TASK, (source,), queue=queue, expires=EXPIRES_SECONDS)
        except BaseException:
            _redis.delete(flag)  # none is waiting: the next one must not be held back
            raise
    except broker.UNREACHABLE as error:
        log.warning("nudge not sent", source=source, error=type(error).__name__)
        return False
    return True


def soon(source: str) -> None:
    """Have `source` nudged beside the caller, who waits for nothing and never fails.

    Under load one nudge serves many calls. One that a dying process takes along, the sweep makes
    good.
    """
    _beside.ask(source)


def send_all(sources: Iterable[str]) -> None:
    """Ask for a drain of each source."""
    for source in sources:
        send(source)


def queue_of(source: str) -> str:
    """Return the queue of a source's drains: the one of its name, unless it shares another."""
    return _QUEUES.get(source, source)


def taken(source: str) -> None:
    """Tell that a drain has started: what is recorded from now on sends a nudge of its own."""
    try:
        _redis.delete(_flag(source), _sweeps_flag(source))
    except broker.UNREACHABLE as error:
        log.warning("nudge not cleared", source=source, error=type(error).__name__)


def _flag(source: str) -> str:
    return f"billing:nudge:{source}"


def _sweeps_flag(source: str) -> str:
    return f"{_flag(source)}:sweep"


_beside = Beside("nudger", send_all)

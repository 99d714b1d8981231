"""Nudges: messages that have a worker look at what is due now instead of at the next sweep.

While one waits in the queue of a source, another is not sent. A nudge that is lost, or that cannot
be sent because Redis cannot be reached, costs seconds and never an event: the sweep nudges again
for whatever is due. So nothing here raises.
"""

import threading
import time
from collections.abc import Iterable

import structlog

from service.redis_url import RedisCluster
from tasks.plumbing import broker
from tasks.plumbing.background import BackgroundBatcher
from worker.app import app

log = structlog.get_logger()

DRAIN_TASK = "tasks.inbox.drain"
RELEASE_TASK = "tasks.leads.release"
RELEASE = "release"
"""The name of a nudge to release parked leads, among the sources of the others."""
REFUNDS_TASK = "tasks.refunds.ask"
REFUNDS = "refunds"
NOTICES_TASK = "tasks.notices.deliver"
NOTICES = "notices"
"""The name of a nudge to send notices, and of its queue."""
MAILS_TASK = "tasks.notices.mail"
MAILS = "mails"
"""The name of a nudge to send mails."""
STANDS_SECONDS = 15
"""How long a nudge holds back others: after that it counts as lost, and another may be sent."""
EXPIRES_SECONDS = 300
"""When its message is dropped unread, by the worker's clock, which may be ahead of ours."""

SILENT_SECONDS = 30
"""The least between two lines of a process about nudges that could not be sent."""

_SCHEDULE = "schedule"
_QUEUES = {
    "lead_calls": _SCHEDULE,
    "api_leads": "leads",
    "dispute_calls": "refunds",
    "refund_calls": "refunds",
    "razorpay": "payments",
    "stripe": "payments",
}
"""Source -> queue of its nudges, unless that is the queue of its name. The calls of leads are
messages of `leads`, and a nudge must not wait behind the crowd that it serves. Leads by the API
share the queue of the webhook's. Both gateways report payments. Disputes and refunds are few, and
share the queue of their calls."""

_redis = broker.connect()


def send(source: str, *, by_sweep: bool = False) -> bool:
    """Ask for a drain of `source` unless one is waiting; return whether a message was sent.

    The sweep's nudge is separate, on another queue: the other one may wait behind thousands of
    calls, and the queues take turns.
    """
    if by_sweep:
        return _send(_by_sweep(source), DRAIN_TASK, (source,), _SCHEDULE)
    return _send(source, DRAIN_TASK, (source,), queue_of(source))


def send_refunds() -> bool:
    """Ask for refunds to be settled and their gateways to be asked, after one was requested."""
    return _send(REFUNDS, REFUNDS_TASK, (), "refunds")


def send_release() -> bool:
    """Ask for the release of parked leads, after credit came, unless that is already asked for."""
    return _send(RELEASE, RELEASE_TASK, (), _SCHEDULE)


def send_notices() -> bool:
    """Ask for notices to be sent, after some were written, unless that is already asked for."""
    return _send(NOTICES, NOTICES_TASK, (), NOTICES)


def send_mails() -> bool:
    """Ask for mails to be sent, after some became due, unless that is already asked for."""
    return _send(MAILS, MAILS_TASK, (), NOTICES)


def _send(what: str, task: str, arguments: tuple[str, ...], queue: str) -> bool:
    try:
        if not _redis.set(_flag(what), 1, nx=True, ex=STANDS_SECONDS):
            return False
        try:
            app.send_task(task, arguments, queue=queue, expires=EXPIRES_SECONDS)
        except BaseException:
            _redis.delete(_flag(what))  # none is waiting: nothing may hold back the next one
            raise
    except broker.UNREACHABLE as error:
        _not_sent.note(what, error)
        return False
    return True


def send_in_background(source: str) -> None:
    """Have a thread nudge `source`; the caller waits for nothing and never fails.

    Under load one nudge serves many calls. The sweep repeats one that a dying process loses.
    """
    _batcher.add(source)


def send_notices_in_background() -> None:
    """Have a thread ask for notices to be sent; for `db.after_commit.call_on_notices`."""
    _batcher.add(NOTICES)


def send_all(sources: Iterable[str]) -> None:
    """Ask for a drain of each source; `NOTICES` among them: for notices to be sent."""
    for source in sources:
        if source == NOTICES:
            send_notices()
        else:
            send(source)


def queue_of(source: str) -> str:
    """Return the queue of a source's drains: the one of its name, unless it shares another."""
    return _QUEUES.get(source, source)


def acknowledge(source: str) -> None:
    """Note that a nudge arrived: what is recorded from now on sends another."""
    try:
        _redis.delete(_flag(source), _flag(_by_sweep(source)))
    except broker.UNREACHABLE as error:
        _not_cleared.note(source, error)


def hold_back(source: str, *, seconds: float) -> None:
    """Have no nudge of `source` sent for so long: a task is at it and will look again by itself."""
    try:
        _redis.set(_flag(source), 1, px=max(round(1000 * seconds), 1))
    except broker.UNREACHABLE as error:
        _not_cleared.note(source, error)


def _flag(source: str) -> str:
    return f"billing:nudge:{source}"


def _by_sweep(source: str) -> str:
    return f"{source}:sweep"


class Throttled:
    """A warning that is written at once, and then at most once in `SILENT_SECONDS`, with a count.

    While Redis is away each event and each batch would write one.
    """

    def __init__(self, line: str) -> None:
        """`line` is the event's text."""
        self._line = line
        self._lock = threading.Lock()
        self._silent_until = 0.0
        self._times = 0

    def note(self, what: str, error: Exception) -> None:
        """Write the line, or count it for the next."""
        with self._lock:
            self._times += 1
            if time.monotonic() < self._silent_until:
                return
            times, self._times = self._times, 0
            self._silent_until = time.monotonic() + SILENT_SECONDS
        reason = str(error) if isinstance(error, RedisCluster) else type(error).__name__
        log.warning(self._line, source=what, error=reason, times=times)


_not_sent = Throttled("nudge not sent")
_not_cleared = Throttled("nudge not cleared")
_batcher = BackgroundBatcher("nudger", send_all)

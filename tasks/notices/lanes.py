"""Calls of leased deliveries, each lane in a thread of its own; nothing here knows PostgreSQL.

A lane is one endpoint's: its deliveries are called one after the other, and at the first failure
the rest is left for another time. What came of the calls is gathered for the thread that leased
them, which alone talks to PostgreSQL. An endpoint that hangs holds its own thread and no other.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from uuid import UUID

import clock
from billing.notices import Attempted, Due, Lane
from notify.http import Sender, headers_of

GATHER_SECONDS = 0.02
"""How long results are gathered after the first: one transaction writes them all."""
MOST_GATHERED = 500


@dataclass(frozen=True, slots=True)
class Left:
    """A lane has ended; these of its deliveries were not begun."""

    lane: Lane
    delivery_ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What has happened since it was last asked for, in the order in which it did."""

    attempts: Sequence[Attempted]
    ended: Sequence[Left]


class Lanes:
    """The lanes of one task that are on their way."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._events: SimpleQueue[Attempted | Left] = SimpleQueue()
        self._stopped = threading.Event()
        self._under_way: dict[UUID, Lane] = {}

    @property
    def count(self) -> int:
        """How many have not ended, by what was gathered."""
        return len(self._under_way)

    @property
    def troubled(self) -> int:
        """How many of them are of endpoints whose last call failed."""
        return sum(lane.troubled for lane in self._under_way.values())

    def begin(self, lane: Lane) -> None:
        """Let a thread call the deliveries of a lane."""
        self._under_way[lane.lease_id] = lane
        threading.Thread(target=self._work, args=(lane,), name="notices", daemon=True).start()

    def stop(self) -> None:
        """Let no lane begin another call."""
        self._stopped.set()

    def gather(self, *, seconds: float) -> Gathered:
        """Wait up to `seconds` for something to happen; return it with what follows at once."""
        attempts: list[Attempted] = []
        ended: list[Left] = []
        give_up_at = time.monotonic() + seconds
        while self._under_way and len(attempts) < MOST_GATHERED:
            try:
                event = self._events.get(timeout=max(give_up_at - time.monotonic(), 0))
            except Empty:
                break
            if not attempts and not ended:
                give_up_at = time.monotonic() + GATHER_SECONDS
            if isinstance(event, Left):
                del self._under_way[event.lane.lease_id]
                ended.append(event)
            else:
                attempts.append(event)
        return Gathered(attempts, ended)

    def _work(self, lane: Lane) -> None:
        begun = 0
        try:
            for due in lane.deliveries:
                if self._stopped.is_set() or clock.now() > lane.start_until:
                    break
                begun += 1
                attempt = attempted(self._sender, lane, due)
                self._events.put(attempt)
                if not attempt.answer.is_success:
                    break
        finally:
            self._events.put(Left(lane, [due.delivery_id for due in lane.deliveries[begun:]]))


def attempted(sender: Sender, lane: Lane, due: Due) -> Attempted:
    """Call the endpoint of a lane with one of its deliveries, once, and return what came of it."""
    started_at = clock.now()
    headers = headers_of(due.notice_id, due.body, secrets=lane.secrets, now=clock.real_now())
    answer = sender.post(lane.url, headers, due.body)
    return Attempted(due.delivery_id, lane.lease_id, due.attempt_number, started_at, answer)

"""Notices on their way out: placed, leased, called and finished, until nothing is due.

One task makes many calls at once, outside any transaction, each lane in a thread (`lanes.py`);
this thread alone talks to PostgreSQL. It takes more for `TAKES_SECONDS` and then lets another task
go on, while it waits for the last of its calls. Whatever a task that was killed had leased is due
again when its lease ends, and is sent again under the same id.

Sent by a commit's nudge, and every few seconds by beat: that is the sweep.
"""

import math
import time
from functools import cache

import structlog

import clock
from billing import notices
from billing.notices import Attempted
from db import inbox
from db.session import transaction
from errors import TransientError
from notify.http import WHOLE_SECONDS, Allowed, Sender
from tasks.notices import placing
from tasks.notices.lanes import Lanes, Left
from tasks.plumbing import nudges
from worker import shutdown
from worker.app import app

log = structlog.get_logger()

MOST_LANES = 96
"""Of a task at a time: a thread each. More wait for another task, or until some have ended."""
MOST_TROUBLED = MOST_LANES // 2
"""Of them, for endpoints whose last call failed: each may hang for as long as a call may take."""
TAKES_SECONDS = 25
"""With the longest call, and what it takes to write its result, below `task_soft_time_limit`."""
LOOK_SECONDS = 0.05
"""While calls are under way, new notices are looked for so often."""
RESTS = 19
"""While the inbox has a backlog, a batch of notices is placed so many times its own time after the
last one. Money comes first: placing a crowd of charged leads at once costs their charging a quarter
of its rate on two processors. What the crowd wrote is placed soon after it."""
LONGEST_SLEEP_SECONDS = 0.25
"""Of such a rest, before it is looked for deliveries that have become due."""
REVIEW_SECONDS = 4
"""Endpoints are reviewed at every tick of beat, and not at every nudge."""
MOST_REVIEWS = 20
"""Transactions of a review; the next tick goes on."""
PAUSE_SECONDS = 0.5
"""Between two tries to reach PostgreSQL."""
WAITS_SECONDS = 17
"""So long after it has taken the last a task waits for calls, and for PostgreSQL to take results;
then the leases end by themselves."""


@app.task(name=nudges.NOTICES_TASK)
def deliver() -> None:
    """Send the notices that are due, and what becomes due meanwhile."""
    nudges.acknowledge(nudges.NOTICES)
    if _review_is_due():
        _review()
    lanes = Lanes(sender())
    try:
        _Delivery(lanes).run()
    finally:
        lanes.stop()


class _Delivery:
    """One run of the task."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._attempts: list[Attempted] = []
        self._ended: list[Left] = []
        """What is not written yet: while PostgreSQL is away it is kept here."""
        self._takes_until = time.monotonic() + TAKES_SECONDS
        self._is_taking = True
        self._places_at = 0.0
        """No batch of notices is placed before."""

    def run(self) -> None:
        """Go round until nothing is due and nothing is under way."""
        more = True
        while more or self._lanes.count or self._attempts or self._ended:
            try:
                more = self._round()
            except TransientError as error:
                if not self._can_wait():
                    raise
                log.warning("notices wait for the database", error=type(error).__name__)
                time.sleep(PAUSE_SECONDS)
            rest = max(self._places_at - time.monotonic(), 0)
            if more and rest and not self._lanes.count:
                time.sleep(min(rest, LONGEST_SLEEP_SECONDS))
            gathered = self._lanes.gather(seconds=min(rest, LOOK_SECONDS) if more else LOOK_SECONDS)
            self._attempts += gathered.attempts
            self._ended += gathered.ended
        if not self._is_taking:
            nudges.send_notices()  # what its last calls kept others from taking

    def _round(self) -> bool:
        """Write what has happened and take what is due; return whether there is more to take."""
        self._write()
        if self._is_taking and (time.monotonic() > self._takes_until or shutdown.has_begun()):
            self._is_taking = False
            self._lanes.stop()
            nudges.send_notices()
        return self._is_taking and self._take()

    def _write(self) -> None:
        if not self._attempts and not self._ended:
            return
        with transaction() as session:
            notices.finish(session, self._attempts, now=clock.now())
            for left in self._ended:
                if left.delivery_ids:
                    notices.give_back(session, left.lane.lease_id, left.delivery_ids)
        self._attempts, self._ended = [], []

    def _take(self) -> bool:
        more = self._place()
        room = MOST_LANES - self._lanes.count
        if room:
            with transaction() as session:
                leased = notices.lease(
                    session,
                    now=clock.now(),
                    most_lanes=room,
                    most_troubled=self._room_for_troubled(),
                )
            for lane in leased:
                self._lanes.begin(lane)
            if len(leased) == room:
                nudges.send_notices()  # a crowd: let an idle process join
        return more

    def _place(self) -> bool:
        """Place a batch of notices, unless it is too soon; return whether there may be more."""
        began = time.monotonic()
        if began < self._places_at:
            return True
        if placing.is_resting():
            return False  # the task that rests goes on, or the next tick of beat does
        with transaction() as session:
            placed = notices.fan_out(session, now=clock.now())
            gives_way = placed.placed and inbox.is_behind(session, now=clock.now())
        if placed.mails:
            nudges.send_mails()
        if gives_way:
            ended = time.monotonic()
            rest = RESTS * (ended - began)
            placing.rest(seconds=rest)
            self._places_at = ended + rest
        return placed.more or bool(gives_way)

    def _room_for_troubled(self) -> int:
        # One that hangs would hold this task beyond its time, while it takes nothing for others.
        if time.monotonic() > self._takes_until - WHOLE_SECONDS:
            return 0
        return max(MOST_TROUBLED - self._lanes.troubled, 0)

    def _can_wait(self) -> bool:
        """Return whether something would be lost if this task ended now, and there is time left."""
        keeps = self._lanes.count or self._attempts or self._ended
        return bool(keeps) and time.monotonic() < self._takes_until + WAITS_SECONDS


@cache
def sender() -> Sender:
    """Return the sender of this process, with the connections that it keeps open."""
    return Sender(Allowed.by_settings())


def _review() -> None:
    for _ in range(MOST_REVIEWS):
        with transaction() as session:
            if not notices.review_endpoints(session, now=clock.now()):
                return


def _review_is_due() -> bool:
    global _reviewed_at  # noqa: PLW0603 - of this process
    now = time.monotonic()
    if now - _reviewed_at < REVIEW_SECONDS:
        return False
    _reviewed_at = now
    return True


_reviewed_at = -math.inf

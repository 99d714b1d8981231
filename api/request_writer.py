"""Carries noted requests to Redis: from a bounded queue, by a thread of the process, in batches.

A request only puts its note into the queue. While Redis is away or slow the queue fills, and then
its oldest notes give way: they are counted, and one line in a while says how many.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import structlog

import clock
import settings
from service import recent_requests, redis_url
from service.recent_requests import RecentRequest
from service.redis_url import RedisCluster

log = structlog.get_logger()

QUEUED = 2_000
"""Notes of a process that wait, at most: about a megabyte."""
BATCH = 500
PAUSE_SECONDS = 0.2
"""Between two rounds: under load one exchange carries all that came in the meantime."""
IDLE_SECONDS = 0.5
"""How often the thread looks whether the process ends."""
AWAY_SECONDS = 2.0
"""The pause after a round that failed."""
SILENT_SECONDS = 30.0
"""The least between two lines about notes that were lost."""
TIMEOUT_SECONDS = 1.0

Write = Callable[[Sequence[RecentRequest]], None]


class RequestWriter:
    """The queue and the thread of one process."""

    def __init__(self, write: Write) -> None:
        """Start nothing yet. If `write` raises, the batch is lost, and a line says so."""
        self._write = write
        self._queue: deque[RecentRequest] = deque(maxlen=QUEUED)
        self._wake = threading.Event()
        self._started_in = 0
        # Each is written by one thread alone: the caller's, and ours.
        self._pushed_out = 0
        self._not_written = 0
        self._said = 0
        self._error: str | None = None
        self._silent_until = 0.0

    def note(self, request: RecentRequest) -> None:
        """Have a request written soon. Returns at once and never fails.

        Called by one thread alone, that of the event loop.
        """
        if self._started_in != os.getpid():  # the first one, or a fork: threads stay behind
            self._start()
        self._pushed_out += len(self._queue) == QUEUED
        self._queue.append(request)
        if not self._wake.is_set():
            self._wake.set()

    def _start(self) -> None:
        self._started_in = os.getpid()
        self._queue, self._wake = deque(maxlen=QUEUED), threading.Event()
        # Not a daemon: at the end of the process it writes what is left, and then ends.
        threading.Thread(target=self._run, name="request-log", daemon=False).start()

    def _run(self) -> None:
        while threading.main_thread().is_alive():
            if self._wake.wait(IDLE_SECONDS):
                self._wake.clear()
                self._pause(PAUSE_SECONDS if self._round() else AWAY_SECONDS)
            self._say_what_was_lost()
        self._round()
        self._silent_until = 0.0
        self._say_what_was_lost()

    def _round(self) -> bool:
        """Write what waits; return whether that could be done."""
        for _ in range(QUEUED // BATCH):
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH))]
            if not batch:
                break
            try:
                self._write(batch)
            except Exception as error:  # noqa: BLE001 - the thread must outlive any of them
                self._not_written += len(batch)
                self._error = (
                    str(error) if isinstance(error, RedisCluster) else type(error).__name__
                )
                return False
        return True

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while threading.main_thread().is_alive() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, IDLE_SECONDS))

    def _say_what_was_lost(self) -> None:
        lost = self._pushed_out + self._not_written - self._said
        if lost and time.monotonic() >= self._silent_until:
            self._said += lost
            self._silent_until = time.monotonic() + SILENT_SECONDS
            log.warning("requests not noted", requests=lost, error=self._error)
            self._error = None


def to_redis(kept: int) -> RequestWriter:
    """Return the writer to the Redis of REDIS_URL, of which `kept` requests stay."""
    redis = redis_url.connect(settings.get().redis, timeout_seconds=TIMEOUT_SECONDS)

    def write(batch: Sequence[RecentRequest]) -> None:
        recent_requests.append(redis, batch, kept=kept, now=clock.real_now())

    return RequestWriter(write)

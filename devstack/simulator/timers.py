"""Things to do later, in threads: retries of webhooks, late authorizations, pending refunds."""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

log = logging.getLogger("simulator")

THREADS = 16
"""As many webhooks are under way at once; a slow receiver holds up to that many."""


class Timers:
    """Runs functions at their time, until closed."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="simulator-timer")
        self._thread = threading.Thread(target=self._watch, name="simulator-timers", daemon=True)
        self._thread.start()

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Call `what` in another thread, `seconds` from now."""
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), what))
            self._changed.notify()

    def forget(self) -> None:
        """Call nothing of what waits; what runs goes on."""
        with self._changed:
            self._due.clear()

    def close(self) -> None:
        """Forget what waits, and return when what runs has ended."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify()
        self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _watch(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
                _, _, what = heapq.heappop(self._due)
                self._pool.submit(_guarded, what)


def _guarded(what: Callable[[], None]) -> None:
    try:
        what()
    except Exception:
        log.exception("simulator: something planned failed")

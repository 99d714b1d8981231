"""Things to do later, in threads: retries of webhooks, late authorizations, pending refunds."""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger("simulator")

THREADS = 16
"""As many webhooks are under way at once; a slow receiver holds up to that many."""


class Timers:
    """Runs functions at their time, until closed. Its threads never keep the process from ending.

    `ThreadPoolExecutor` would: the interpreter waits for its threads, and a webhook takes seconds
    if nobody answers.
    """

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._running = 0
        self._threads = [
            threading.Thread(target=self._work, name=f"simulator-{number}", daemon=True)
            for number in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Call `what` in another thread, `seconds` from now."""
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), what))
            self._changed.notify()

    def idle(self, *, for_seconds: float) -> bool:
        """Tell whether nothing runs, and nothing is due in the next `for_seconds`."""
        with self._changed:
            soon = time.monotonic() + for_seconds
            return not self._running and not (self._due and self._due[0][0] <= soon)

    def forget(self) -> None:
        """Call nothing of what waits; what runs goes on."""
        with self._changed:
            self._due.clear()

    def close(self) -> None:
        """Forget what waits, and return when what runs has ended."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                what = self._next()
                # Whoever waits next has to look at what is due now.
                self._changed.notify()
            if what is None:
                return
            try:
                what()
            except Exception:
                log.exception("simulator: something planned failed")
            finally:
                with self._changed:
                    self._running -= 1

    def _next(self) -> Callable[[], None] | None:
        """Wait for what is due and take it; None when closed. Called with the condition held."""
        while not self._closed:
            wait = self._due[0][0] - time.monotonic() if self._due else None
            if wait is not None and wait <= 0:
                self._running += 1
                return heapq.heappop(self._due)[2]
            self._changed.wait(wait)
        return None

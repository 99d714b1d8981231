"""Background work of a process: gathered for a moment, done by a thread, never waited for.

For work that only makes things faster or tidier, such as a nudge: a sweep does whatever is lost
with the process.
"""

import os
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

PAUSE_SECONDS = 0.02
"""Between two rounds: under load one round serves all that came in the meantime."""


class BackgroundBatcher:
    """One thread per process that calls `act` with the items added since its last round."""

    def __init__(
        self, name: str, act: Callable[[set[str]], None], *, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        """Start nothing yet; `act` gets each item once per round and must not raise."""
        self._name = name
        self._pause_seconds = pause_seconds
        self._act = act
        self._added: SimpleQueue[str] = SimpleQueue()
        self._started_in = 0
        self._starting = threading.Lock()

    def add(self, item: str) -> None:
        """Have `item` acted on soon, a lone one at once. Returns at once and never fails."""
        if self._started_in != os.getpid():  # the first call, or a fork: threads stay behind
            self._start()
        self._added.put(item)

    def _start(self) -> None:
        with self._starting:
            if self._started_in != os.getpid():
                self._added = SimpleQueue()
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
                self._started_in = os.getpid()

    def _run(self) -> None:
        while True:
            items = {self._added.get()}
            try:
                while True:
                    items.add(self._added.get_nowait())
            except Empty:
                pass
            self._act(items)
            time.sleep(self._pause_seconds)

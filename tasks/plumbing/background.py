"""Work beside the caller: gathered for a moment, done by a thread, never waited for.

For what only makes things faster or tidier, such as a nudge: what is lost with the process, a
sweep makes good.
"""

import os
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

PAUSE_SECONDS = 0.02
"""Between two rounds: under load one round serves whatever came meanwhile."""


class BackgroundBatcher:
    """One thread a process that has `act` done for the items that were asked for."""

    def __init__(
        self, name: str, act: Callable[[set[str]], None], *, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        """`act` gets each item once a round and must not raise."""
        self._name = name
        self._pause_seconds = pause_seconds
        self._act = act
        self._asked: SimpleQueue[str] = SimpleQueue()
        self._started_in = 0
        self._starting = threading.Lock()

    def add(self, item: str) -> None:
        """Have `item` acted on soon, a lone one at once; returns at once and never fails."""
        if self._started_in != os.getpid():  # the first call, or a fork: threads stay behind
            self._start()
        self._asked.put(item)

    def _start(self) -> None:
        with self._starting:
            if self._started_in != os.getpid():
                self._asked = SimpleQueue()
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
                self._started_in = os.getpid()

    def _run(self) -> None:
        while True:
            items = {self._asked.get()}
            try:
                while True:
                    items.add(self._asked.get_nowait())
            except Empty:
                pass
            self._act(items)
            time.sleep(self._pause_seconds)

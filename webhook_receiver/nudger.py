"""Sends nudges beside the requests, so that no answer ever waits for Redis."""

import threading
import time

from tasks import nudges

PAUSE_SECONDS = 0.02
"""Between two rounds: under load one nudge serves whatever came meanwhile, and costs a message."""


class Nudger:
    """One thread that nudges each source that was asked for since it last looked."""

    def __init__(self) -> None:
        self._asked: set[str] = set()
        self._wake = threading.Event()
        threading.Thread(target=self._run, name="nudger", daemon=True).start()

    def ask(self, source: str) -> None:
        """Have `source` nudged soon; returns at once and never fails."""
        if source not in self._asked:
            self._asked.add(source)
            self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._asked:
                # Off the list before it is sent: whoever asks from now on is heard again.
                nudges.send(self._asked.pop())
            time.sleep(PAUSE_SECONDS)

"""Which paid work runs in this process, and which ended here with its hold perhaps still open.

Another process is known only by the hold that it has placed (`paid_work.py`).
"""

import threading
from collections import OrderedDict

MOST_REMEMBERED = 10_000


class LocalRuns:
    """The runs of one process, by the key of their work; for all of its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[str] = set()
        self._left_open: OrderedDict[str, None] = OrderedDict()

    def enter(self, key: str) -> bool:
        """Begin to run the work of a key; False if it runs here already."""
        with self._lock:
            if key in self._running:
                return False
            self._running.add(key)
            return True

    def leave(self, key: str, *, may_be_open: bool) -> None:
        """End the run that has entered; `may_be_open`: its hold is not known to have ended."""
        with self._lock:
            self._running.discard(key)
            self._left_open.pop(key, None)
            if may_be_open:
                self._left_open[key] = None
                if len(self._left_open) > MOST_REMEMBERED:
                    self._left_open.popitem(last=False)

    def was_left_open(self, key: str) -> bool:
        """Return whether an earlier run ended here and may have left its hold open."""
        with self._lock:
            return key in self._left_open

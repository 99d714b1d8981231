"""Seeded randomness: the same seed and the same requests give the same ids and the same luck.

Each purpose draws from a stream of its own, so that one switch does not move another's luck.
"""

import random
import string
import threading

ALPHANUMERICS = string.ascii_letters + string.digits


class Chance:
    """The dice of one simulator; safe to use from any thread."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._streams: dict[str, random.Random] = {}
        self._lock = threading.Lock()

    def id(self, prefix: str, length: int = 14) -> str:
        """Return `<prefix>_` and letters and digits; 14 of them as Razorpay's ids have."""
        return f"{prefix}_{self.text(f'id:{prefix}', length)}"

    def text(self, purpose: str, length: int, alphabet: str = ALPHANUMERICS) -> str:
        """Return random characters."""
        with self._lock:
            return "".join(self._stream(purpose).choices(alphabet, k=length))

    def digits(self, purpose: str, length: int) -> str:
        """Return random digits, as text."""
        return self.text(purpose, length, string.digits)

    def happens(self, what: str, probability: float) -> bool:
        """Roll for a switch; a roll is made whatever the probability."""
        with self._lock:
            return self._stream(what).random() < probability

    def between(self, what: str, low: float, high: float) -> float:
        """Return a number from `low` to `high`."""
        with self._lock:
            return self._stream(what).uniform(low, high)

    def _stream(self, purpose: str) -> random.Random:
        if purpose not in self._streams:
            self._streams[purpose] = random.Random(f"{self.seed}:{purpose}")
        return self._streams[purpose]

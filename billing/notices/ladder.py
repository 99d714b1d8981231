"""When a notice is tried again: the ladder of the Standard Webhooks specification.

https://github.com/standard-webhooks/standard-webhooks, "Deliverability and reliability". Pure.
"""

import random
from datetime import timedelta

WAITS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""The wait after the first, second ... failure; the first attempt comes at once."""
MAX_TRIES = len(WAITS) + 1
"""Ten over about 75 hours; a notice that failed so often is dead."""
JITTER = 0.2
"""What failed together comes back apart: each wait is up to this share shorter or longer."""
LONGEST_RETRY_AFTER = timedelta(hours=24)
"""A receiver may ask for so much and no more."""


def wait_after(tries: int, *, retry_after: timedelta | None = None) -> timedelta | None:
    """Return how long a notice waits after it failed for the `tries`-th time; None: it is dead.

    `retry_after`: the receiver asked to be left alone so long.
    """
    if tries >= MAX_TRIES:
        return None
    spread = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, guards no secret
    wait = WAITS[tries - 1] * spread
    if retry_after is None:
        return wait
    return max(wait, min(retry_after, LONGEST_RETRY_AFTER))

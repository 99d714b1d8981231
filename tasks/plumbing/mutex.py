"""A mutex over all workers: one process at a time waits for a gateway, the others do other work."""

import contextlib
from collections.abc import Iterator

from tasks.plumbing import broker

LOCK_SECONDS = 120
"""As long as such a task may take; the lock of a task that was killed expires by itself."""
TIME_LIMITS = {"soft_time_limit": LOCK_SECONDS - 20, "time_limit": LOCK_SECONDS - 5}
"""Options of a task that waits for gateways: 20 seconds, and four calls of eleven seconds each."""

_redis = broker.connect()


@contextlib.contextmanager
def try_lock(what: str) -> Iterator[bool]:
    """Yield whether this process holds the lock `what` for the block.

    Without Redis every process does: it leases the rows it works on, so that two do no harm.
    """
    key = f"billing:turn:{what}"
    try:
        is_held = bool(_redis.set(key, 1, nx=True, ex=LOCK_SECONDS))
    except broker.UNREACHABLE:
        is_held = True
    try:
        yield is_held
    finally:
        if is_held:
            with contextlib.suppress(*broker.UNREACHABLE):
                _redis.delete(key)

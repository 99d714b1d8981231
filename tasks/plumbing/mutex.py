"""Turns: one process at a time waits for somebody else's servers, the others have work to do."""

import contextlib
from collections.abc import Iterator

from tasks.plumbing import broker

LOCK_SECONDS = 120
"""As long as such a task may take; of one that was killed, the turn ends by itself."""
TIME_LIMITS = {"soft_time_limit": LOCK_SECONDS - 20, "time_limit": LOCK_SECONDS - 5}
"""Of a task that waits for gateways: its own time, and four calls of eleven seconds each."""

_redis = broker.connect()


@contextlib.contextmanager
def try_lock(what: str) -> Iterator[bool]:
    """Give the block whether it is this process's turn.

    Without Redis everybody has one: whoever asks leases its rows, so that two do no harm.
    """
    key = f"billing:turn:{what}"
    try:
        is_mine = bool(_redis.set(key, 1, nx=True, ex=LOCK_SECONDS))
    except broker.UNREACHABLE:
        is_mine = True
    try:
        yield is_mine
    finally:
        if is_mine:
            with contextlib.suppress(*broker.UNREACHABLE):
                _redis.delete(key)

"""A rest that all tasks keep which place notices, while the inbox has a backlog.

A flag in Redis that ends by itself. It decides nothing: without it, notices are placed at once.
"""

from contextlib import suppress

from tasks.plumbing import broker, nudges

_KEY = "billing:notices:rest"

_redis = broker.connect()


def rest(*, seconds: float) -> None:
    """Have no other task place notices for so long, and none begun for it."""
    nudges.hold_back(nudges.NOTICES, seconds=seconds)
    with suppress(*broker.UNREACHABLE):
        _redis.set(_KEY, 1, px=max(round(1000 * seconds), 1))


def is_resting() -> bool:
    """Return whether a task has asked for a rest that is not over."""
    try:
        return bool(_redis.exists(_KEY))
    except broker.UNREACHABLE:
        return False

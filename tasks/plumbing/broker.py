"""A connection to the broker's Redis for what is no Celery message: flags and copies."""

from kombu.exceptions import KombuError, OperationalError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

import settings

UNREACHABLE = (RedisError, KombuError, OperationalError, OSError)
"""What the libraries raise when Redis cannot be reached, or is not in a state to serve."""


def connect() -> Redis:
    """Return a client that gives up soon: whoever asks has better to do than to wait for Redis."""
    return Redis.from_url(
        settings.get().redis_url,
        socket_timeout=2,
        socket_connect_timeout=2,
        health_check_interval=25,
        # Once, for a connection that a restarted server has closed.
        retry=Retry(NoBackoff(), 1),
    )

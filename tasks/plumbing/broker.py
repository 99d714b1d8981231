"""A connection to the broker's Redis for what is not a Celery message: flags and copies."""

from kombu.exceptions import KombuError, OperationalError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

import settings

UNREACHABLE = (RedisError, KombuError, OperationalError, OSError)
"""What the libraries raise if Redis cannot be reached or cannot serve."""


def connect() -> Redis:
    """Return a client that gives up soon: no caller should wait long for Redis."""
    return Redis.from_url(
        settings.get().redis_url,
        socket_timeout=2,
        socket_connect_timeout=2,
        health_check_interval=25,
        # Once: a restarted server has closed the connection.
        retry=Retry(NoBackoff(), 1),
    )

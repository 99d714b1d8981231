"""A connection to the broker's Redis for what is not a Celery message: flags and copies."""

from kombu.exceptions import KombuError, OperationalError
from redis import Redis
from redis.exceptions import RedisError

import settings
from service import redis_url

UNREACHABLE = (RedisError, KombuError, OperationalError, OSError)
"""What the libraries raise if Redis cannot be reached or cannot serve."""


def connect() -> Redis:
    """Return a client that gives up soon: no caller should wait long for Redis."""
    return redis_url.connect(settings.get().redis, timeout_seconds=2)

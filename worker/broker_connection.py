"""The worker's connection to the broker: refused if it is a cluster, and shown without secrets."""

import functools
from typing import Any

from celery.exceptions import WorkerShutdown
from kombu.utils.url import maybe_sanitize_url
from redis.exceptions import RedisError

import settings
from service import redis_url

TIMEOUT_SECONDS = 2
_NOT_SHOWN = ("alternates", "failover_strategy", "transport_options")
"""They hold the passwords of Sentinels, or are no JSON. Celery itself leaves out the password."""


def refuse_cluster(log: Any) -> None:
    """Write one line and end the worker if Redis has just answered as a node of a cluster."""
    redis = redis_url.connect(settings.get().redis, timeout_seconds=TIMEOUT_SECONDS)
    try:
        redis.ping()
    except redis_url.RedisCluster as error:
        log.critical("cannot work: %s", error)
        raise WorkerShutdown(1) from None
    except RedisError:
        pass  # Celery has its own way with that
    finally:
        redis.close()


def hide_secrets(connection: Any) -> None:
    """Leave secrets out of what `inspect stats` and Flower show of a kombu connection."""
    info = connection.info

    @functools.wraps(info)
    def shown() -> dict[str, Any]:
        fields = {name: value for name, value in info().items() if name not in _NOT_SHOWN}
        return {**fields, "hostname": maybe_sanitize_url(fields["hostname"])}

    connection.info = shown

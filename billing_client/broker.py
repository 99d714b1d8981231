"""The connections of `CeleryBillingClient` to the broker, a Redis."""

import re
from urllib.parse import urlsplit

from celery import Celery
from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from billing_client.options import is_address


def redis_client(url: str, timeout_seconds: float, retries: int) -> Redis | None:
    """Return a client, or None if its URL is wrong: the reason could show the password."""
    if not is_address(url) or not re.fullmatch("/?[0-9]*", urlsplit(url).path):
        return None
    try:
        redis = Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            health_check_interval=25,
            retry=Retry(ExponentialWithJitterBackoff(cap=10, base=0.25), retries),
        )
        # The options after the ? are checked only here.
        redis.connection_pool.connection_class(**redis.connection_pool.connection_kwargs)
    except (ValueError, TypeError):
        return None
    return redis


def celery_app(url: str, timeout_seconds: float) -> Celery:
    """Return an app that only sends, with few retries of its own."""
    app = Celery("billing_client", broker=url, set_as_current=False)
    app.conf.update(
        broker_transport_options={
            "socket_timeout": timeout_seconds,
            "socket_connect_timeout": timeout_seconds,
            "socket_keepalive": True,
            "health_check_interval": 25,
            # One more try, in case the connection was closed; after that the copy is enough.
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.2,
        },
        task_publish_retry=False,
        task_ignore_result=True,
    )
    return app

"""The lengths of the queues, as Flower's page of the broker shows them.

Flower connects by a reader of addresses of its own, which knows neither TLS by default, nor several
Sentinels, nor a second database on a socket. Here it asks as the product does.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from flower.views import BaseHandler
from redis import Redis

import settings
from service import redis_url

TIMEOUT_SECONDS = 2


class QueueLengths:
    """What stands in for Flower's `Broker`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def queues(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """Return the name and the number of waiting messages of each queue."""
        return await asyncio.to_thread(self._lengths, sorted(names))

    def _lengths(self, names: list[str]) -> list[dict[str, Any]]:
        with self._redis.pipeline(transaction=False) as look:
            for name in names:
                look.llen(name)
            lengths = look.execute()
        return [
            {"name": name, "messages": length} for name, length in zip(names, lengths, strict=True)
        ]


def install() -> None:
    """Have Flower's pages ask Redis in our way."""
    redis = redis_url.connect(settings.get().redis, timeout_seconds=TIMEOUT_SECONDS)
    BaseHandler.get_broker = lambda _: QueueLengths(redis)

"""Redis: reached, new enough, a primary, never evicting, keeping its data."""

from collections.abc import Iterator
from typing import Any, cast

from redis import Redis
from redis.exceptions import RedisError

from cli.examinations.diagnosis import Diagnosis, attention, broken, well
from service import redis_url
from settings import Settings

OLDEST_REDIS = (6, 2)
TIMEOUT_SECONDS = 3


def examine(known: Settings) -> Iterator[Diagnosis]:
    """Yield what Redis says of itself."""
    try:
        client = redis_url.connect(known.redis, timeout_seconds=TIMEOUT_SECONDS)
        try:
            yield from _examine(client.info(), client)
        finally:
            client.close()
    except (RedisError, OSError) as error:
        # Not the whole text: some name the address with its password.
        remedy = "start Redis (`make run`), or correct REDIS_URL"
        yield broken("redis", f"cannot be reached ({type(error).__name__})", remedy)


def _examine(info: dict[str, Any], client: Redis) -> Iterator[Diagnosis]:
    version = str(info.get("redis_version", "0"))
    name = str(info.get("server_name", "redis"))
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        oldest = ".".join(map(str, OLDEST_REDIS))
        yield broken("redis", f"{name} {version} is too old", f"use Redis {oldest} or newer")
    elif info.get("role") not in {"master", None}:
        remedy = "let REDIS_URL name the primary, or the Sentinels"
        yield broken("redis", "is a replica: nothing can be written", remedy)
    else:
        yield well("redis", f"{name} {version}")
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        detail = f"its policy is {policy}: messages disappear if memory is short"
        level = broken if info.get("maxmemory") else attention
        yield level("redis memory", detail, "CONFIG SET maxmemory-policy noeviction")
    else:
        yield well("redis memory", "its policy is noeviction")
    if info.get("aof_enabled"):
        yield well("redis persistence", "appends to a file")
    else:
        yield _without_aof(client)


def _without_aof(client: Redis) -> Diagnosis:
    """Judge a server that appends to no file: what it is sent by Celery alone may be lost."""
    try:
        saves = cast(dict[str, str], client.config_get("save")).get("save", "")
    except RedisError:
        return attention(
            "redis persistence", "appends to no file, and CONFIG is closed",
            "see that its data survives a restart: appendonly yes",
        )  # fmt: skip
    detail = f"saves at intervals ({saves})" if saves else "keeps nothing over a restart"
    return attention(
        "redis persistence",
        f"{detail}: calls that were sent by Celery since then are lost at a crash",
        "appendonly yes",
    )

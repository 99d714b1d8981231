"""What Celery, redis-py and Flower need of REDIS_URL: each reads addresses in a way of its own.

None of them is given the address: Celery would verify nothing on `rediss://`, redis-py knows no
`sentinel://`, Flower no TLS and no second database on a socket, and each ends in an error of its
own at a parameter that another wants. `settings/redis_url.py` reads the address, at start; here it
becomes options. Nothing here connects: Redis is reached when something is first sent.

Used by celeryconfig.py, `tasks/plumbing/broker.py`, `worker/`, `devstack/`.
"""

import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel
from redis.utils import str_if_bytes

from settings.redis_url import RedisAddress, Tls

_CERT_REQS = {
    "required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE,
}  # fmt: skip


class RedisCluster(RedisError):
    """REDIS_URL names a node of a cluster: Celery's queues cannot lie in one."""

    def __init__(self) -> None:
        super().__init__(
            "REDIS_URL names a node of a Redis Cluster, which Celery cannot use:"
            " set it to a single server or to Sentinels"
        )


def connect(address: RedisAddress, *, timeout_seconds: float) -> Redis:
    """Return redis-py's client, which gives up after `timeout_seconds`; it is not connected yet.

    A command raises `RedisCluster` if a cluster answers.
    """
    options = {
        **_login(address.username, address.password),
        **_tls(address.tls),
        "db": address.db,
        **_timeouts(timeout_seconds),
        "health_check_interval": 25,
        "redis_connect_func": _refuse_cluster,
    }
    if address.socket_path:
        del options["socket_connect_timeout"]
        return Redis(unix_socket_path=address.socket_path, **options)
    if not address.master_name:
        [(host, port)] = address.hosts
        return Redis(host=host, port=port, **options)
    asked: Any = Sentinel  # redis-py has no types here
    sentinel = asked(
        address.hosts, sentinel_kwargs=_of_sentinels(address, timeout_seconds), **options
    )
    client: Redis = sentinel.master_for(address.master_name)
    return client


@dataclass(frozen=True)
class CeleryBroker:
    """Celery's settings of the broker, each named as in `broker_...`."""

    url: str = field(repr=False)
    user: str | None
    password: str | None = field(repr=False)
    use_ssl: dict[str, Any] | None
    transport_options: dict[str, Any] = field(repr=False)


def celery_broker(address: RedisAddress, *, timeout_seconds: float) -> CeleryBroker:
    """Return what Celery is to be given; Sentinels have `timeout_seconds` each to answer.

    With Sentinels user and password stand beside the URL: Celery shows the URLs of all but one.
    """
    transport_options = {}
    if address.master_name:
        transport_options = {
            "master_name": address.master_name,
            "sentinel_kwargs": _of_sentinels(address, timeout_seconds),
        }
    use_ssl = {name: value for name, value in _tls(address.tls).items() if name != "ssl"}
    return CeleryBroker(
        url=_celery_url(address),
        user=(address.username or None) if address.master_name else None,
        password=(address.password or None) if address.master_name else None,
        use_ssl=use_ssl or None,
        transport_options=transport_options,
    )


def stay_with_the_first(addresses: Sequence[str]) -> Iterator[str]:
    """Leave the choice to redis-py, which asks all Sentinels: Celery's `broker_failover_strategy`.

    Celery would take the next address, and lose user and password. A bare host keeps all the rest.
    """
    host = addresses[0].partition("://")[2].rpartition("/")[0].rpartition(":")[0]
    return repeat(host.strip("[]"))


def _celery_url(address: RedisAddress) -> str:
    if address.socket_path:
        login = _written_login(address)
        path = quote(address.socket_path)
        return f"redis+socket://{login}{path}?virtual_host={address.db}"
    if address.master_name:
        return ";".join(f"sentinel://{_written_host(*host)}/{address.db}" for host in address.hosts)
    scheme = "rediss" if address.tls else "redis"
    [host] = address.hosts
    return f"{scheme}://{_written_login(address)}{_written_host(*host)}/{address.db}"


def _written_login(address: RedisAddress) -> str:
    if not address.username and not address.password:
        return ""
    return f"{quote(address.username, safe='')}:{quote(address.password, safe='')}@"


def _written_host(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _of_sentinels(address: RedisAddress, timeout_seconds: float) -> dict[str, Any]:
    return {
        **_login(address.sentinel_username, address.sentinel_password),
        **_tls(address.tls),
        **_timeouts(timeout_seconds),
    }


def _login(username: str, password: str) -> dict[str, Any]:
    return {"username": username or None, "password": password or None}


def _timeouts(seconds: float) -> dict[str, Any]:
    return {
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        # Once: a restarted server has closed the connection.
        "retry": Retry(NoBackoff(), 1),
    }


def _tls(tls: Tls | None) -> dict[str, Any]:
    if tls is None:
        return {}
    return {
        "ssl": True,
        "ssl_cert_reqs": _CERT_REQS[tls.cert_reqs],
        "ssl_check_hostname": tls.check_hostname,
        "ssl_ca_certs": tls.ca_certs,
        "ssl_certfile": tls.certfile,
        "ssl_keyfile": tls.keyfile,
    }


def _refuse_cluster(connection: Any) -> None:
    """Greet the server as redis-py does; raise `RedisCluster` if it is a node of a cluster."""
    connection.on_connect()
    greeting = connection.handshake_metadata or {}
    if "cluster" in {str_if_bytes(greeting.get(key, "")) for key in ("mode", b"mode")}:
        raise RedisCluster

"""The connections of `CeleryBillingClient` to the broker, a Redis."""

import ssl
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any
from urllib.parse import quote

from celery import Celery
from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel

from billing_client.redis_url import RedisAddress, Tls

_CERT_REQS = {
    "required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE,
}  # fmt: skip


class RedisCluster(RedisError):
    """A node of a cluster has answered, in which Celery's queues cannot lie."""

    def __init__(self) -> None:
        super().__init__("redis_url names a node of a Redis Cluster, which Celery cannot use")


class _Sender(Celery):  # type: ignore[misc]  # Celery has no types
    """An app of one broker: CELERY_BROKER_URL of the environment is the caller's own."""

    def __init__(self, *args: Any, broker: str, **options: Any) -> None:
        self._broker = broker
        super().__init__(*args, broker=broker, **options)

    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:
        """Return a connection to the broker that was given; Celery prefers the environment's."""
        return super().connection_for_write(url or self._broker, **options)


def redis_client(address: RedisAddress, timeout_seconds: float, retries: int) -> Redis:
    """Return a client, not connected yet. A command raises `RedisCluster` if a cluster answers."""
    options = {
        **_login(address.username, address.password),
        **_tls(address.tls),
        **_timeouts(timeout_seconds),
        "db": address.db,
        "health_check_interval": 25,
        "retry": Retry(ExponentialWithJitterBackoff(cap=10, base=0.25), retries),
        "redis_connect_func": _refuse_cluster,
    }
    if address.socket_path:
        del options["socket_connect_timeout"]
        return Redis(unix_socket_path=address.socket_path, **options)
    if not address.master_name:
        [(host, port)] = address.hosts
        return Redis(host=host, port=port, **options)
    asked: Any = Sentinel
    sentinel = asked(
        address.hosts, sentinel_kwargs=_of_sentinels(address, timeout_seconds), **options
    )
    client: Redis = sentinel.master_for(address.master_name)
    return client


def celery_app(address: RedisAddress, timeout_seconds: float) -> Celery:
    """Return an app that only sends, with few retries of its own."""
    app = _Sender("billing_client", broker=_celery_url(address), set_as_current=False)
    if address.master_name:
        # Beside the URL: of several addresses Celery keeps no user and password when it goes on.
        app.conf.broker_user = address.username or None
        app.conf.broker_password = address.password or None
        app.conf.broker_failover_strategy = _stay_with_the_first
    if address.tls:
        tls = _tls(address.tls)
        app.conf.broker_use_ssl = {name: value for name, value in tls.items() if name != "ssl"}
    app.conf.update(
        broker_transport_options={
            **_sentinel_options(address, timeout_seconds),
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


def _celery_url(address: RedisAddress) -> str:
    if address.master_name:
        urls = [f"sentinel://{_written(*host)}/{address.db}" for host in address.hosts]
        return ";".join(urls)
    login = ""
    if address.username or address.password:
        login = f"{quote(address.username, safe='')}:{quote(address.password, safe='')}@"
    if address.socket_path:
        return f"redis+socket://{login}{quote(address.socket_path)}?virtual_host={address.db}"
    scheme = "rediss" if address.tls else "redis"
    return f"{scheme}://{login}{_written(*address.hosts[0])}/{address.db}"


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _stay_with_the_first(addresses: Sequence[str]) -> Iterator[str]:
    """Leave the choice to redis-py, which asks all Sentinels; a bare host keeps the password."""
    host = addresses[0].partition("://")[2].rpartition("/")[0].rpartition(":")[0]
    return repeat(host.strip("[]"))


def _sentinel_options(address: RedisAddress, timeout_seconds: float) -> dict[str, Any]:
    if not address.master_name:
        return {}
    return {
        "master_name": address.master_name,
        "sentinel_kwargs": _of_sentinels(address, timeout_seconds),
    }


def _of_sentinels(address: RedisAddress, timeout_seconds: float) -> dict[str, Any]:
    return {
        **_login(address.sentinel_username, address.sentinel_password),
        **_tls(address.tls),
        **_timeouts(timeout_seconds),
    }


def _login(username: str, password: str) -> dict[str, Any]:
    return {"username": username or None, "password": password or None}


def _timeouts(seconds: float) -> dict[str, Any]:
    return {"socket_timeout": seconds, "socket_connect_timeout": seconds}


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
    try:
        connection.send_command("INFO", "cluster")
        is_cluster = "cluster_enabled:1" in str(connection.read_response())
    except ResponseError:
        return  # such as a user without that right
    if is_cluster:
        raise RedisCluster

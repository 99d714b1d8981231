"""Every process of ours on every kind of Redis: TLS, a socket, Sentinels; and a cluster refused.

Each kind takes some seconds: a worker, a beat and Flower start on a Redis of its own.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import urllib3
from celery import Celery
from redis.exceptions import ConnectionError as RedisConnectionError
from urllib3.exceptions import HTTPError

import settings
from billing_client import CeleryBillingClient, InvalidRequest, Unreachable
from billing_client.celery_client import COPIES_KEY
from devstack import ports, probes, procfile
from devstack.errors import DevstackError
from service import redis_url
from settings import redis_url as addresses
from tests.billing.given import open_account, rows
from tests.redis_servers import (
    AUTHORITY,
    MASTER,
    PASSWORD,
    SENTINEL_PASSWORD,
    running,
    sentinel_of,
    tls_in_front_of,
)
from tests.stack_process import eventually
from tests.worker_process import WorkerProcess

LOGIN = "ops:a-long-password"
WRITTEN = quote(PASSWORD, safe="")


@contextmanager
def socket_as_redis_py_writes_it(folder: Path) -> Iterator[str]:
    with running(folder, "--unixsocket", str(folder / "redis.sock")):
        yield f"unix://:{WRITTEN}@{folder}/redis.sock?db=3"


@contextmanager
def socket_as_celery_writes_it(folder: Path) -> Iterator[str]:
    with running(folder, "--unixsocket", str(folder / "redis.sock")):
        yield f"redis+socket://:{WRITTEN}@{folder}/redis.sock?virtual_host=3"


@contextmanager
def tls(folder: Path) -> Iterator[str]:
    with running(folder) as port, tls_in_front_of(port) as tls_port:
        # The password as it is pasted, and Celery's word for what redis-py calls `required`
        yield (
            f"rediss://:{PASSWORD}@127.0.0.1:{tls_port}/3"
            f"?ssl_ca_certs={AUTHORITY}&ssl_cert_reqs=CERT_REQUIRED"
        )


@contextmanager
def sentinels(folder: Path) -> Iterator[str]:
    with running(folder) as port, sentinel_of(folder, port) as sentinel:
        # The first of them is not there
        yield (
            f"sentinel://:{WRITTEN}@127.0.0.1:{ports.find_free()},127.0.0.1:{sentinel}/3"
            f"?master_name={MASTER}&sentinel_password={SENTINEL_PASSWORD}"
        )


Way = Callable[[Path], AbstractContextManager[str]]
WAYS: tuple[Way, ...] = (
    socket_as_redis_py_writes_it, socket_as_celery_writes_it, tls, sentinels,
)  # fmt: skip


@contextmanager
def process(name: str, log: Path, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    command = procfile.read(settings.PROJECT_DIR / "Procfile")[name]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    with log.open("ab") as output:
        started = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            env={**os.environ, "PATH": path, **environment},
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=settings.PROJECT_DIR,
        )  # fmt: skip
    try:
        yield started
    finally:
        started.terminate()
        started.wait(20)


def page(port: int, path: str) -> str:
    headers = urllib3.make_headers(basic_auth=LOGIN)
    url = f"http://{ports.HOST}:{port}{path}"
    try:
        answer = urllib3.request("GET", url, headers=headers, timeout=10, retries=False)
    except HTTPError:
        return ""
    return answer.data.decode() if answer.status == 200 else ""


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_worker_beat_flower_and_client_meet_on_any_redis(
    database: str, tmp_path: Path, way: Way
) -> None:
    open_account(credits_=200_000)
    flower = ports.find_free()
    with way(tmp_path) as url:
        environment = {"REDIS_URL": url, "FLOWER_BASIC_AUTH": LOGIN, "FLOWER_PORT": str(flower)}
        redis = redis_url.connect(addresses.read(url), timeout_seconds=2)
        probes.require_redis(url)
        with (
            process("beat", tmp_path / "beat.log", **environment),
            process("flower", tmp_path / "flower.log", **environment),
            WorkerProcess(tmp_path / "worker.log", **environment) as worker,
            CeleryBillingClient(redis_url=url) as client,
        ):
            # A call of the client is charged, and its copy removed
            client.charge_lead("L-1", "clinic:42", 600_000)
            eventually("the lead is charged", lambda: rows("SELECT lead_id FROM lead_charges"))
            eventually("the copy is gone", lambda: not redis.hlen(COPIES_KEY))
            # Beat's ticks arrive, and all lies in the database that was named
            eventually("a tick arrives", lambda: worker.has_logged("tasks.inbox.sweep"))
            assert {connection["db"] for connection in redis.client_list()} >= {"3"}
            eventually("Flower has heard of the worker", lambda: "leads" in page(flower, "/broker"))
            # And shows no password, nor does what a worker answers about itself
            with Celery(set_as_current=False) as stranger:
                given = redis_url.celery_broker(addresses.read(url), timeout_seconds=2)
                stranger.conf.update(
                    broker_url=given.url, broker_user=given.user, broker_password=given.password,
                    broker_use_ssl=given.use_ssl,
                    broker_transport_options=given.transport_options,
                )  # fmt: skip
                stats = stranger.control.inspect(timeout=5).stats()
            assert stats
            shown = [str(stats), page(flower, "/broker"), page(flower, "/workers"), worker.log]
            shown += [(tmp_path / f"{name}.log").read_text() for name in ("flower", "beat")]
        for text in shown:
            assert not re.search(f"{PASSWORD}|{WRITTEN}|{SENTINEL_PASSWORD}", text)


@pytest.mark.parametrize("query", ["", f"?ssl_ca_certs={AUTHORITY}"])
def test_a_certificate_that_cannot_be_trusted_is_not(tmp_path: Path, query: str) -> None:
    with running(tmp_path) as port, tls_in_front_of(port) as tls_port:
        # Given an authority that the system does not know, or a name that it did not sign
        host = "localhost" if query else "127.0.0.1"
        url = f"rediss://:{WRITTEN}@{host}:{tls_port}/0{query}"
        address = addresses.read(url)
        # Then neither redis-py nor Celery nor the client talks to it
        with pytest.raises(RedisConnectionError, match="certificate verify failed"):
            redis_url.connect(address, timeout_seconds=2).ping()
        given = redis_url.celery_broker(address, timeout_seconds=2)
        with Celery(set_as_current=False) as app:
            app.conf.update(broker_url=given.url, broker_use_ssl=given.use_ssl)
            with app.connection() as connection, pytest.raises(Exception, match="verify failed"):
                connection.ensure_connection(max_retries=1, interval_start=0)
        with CeleryBillingClient(redis_url=url, retries=0) as client, pytest.raises(Unreachable):
            client.charge_lead("L-1", "clinic:42", 600_000)
        # Unless it is told not to look
        trusting = addresses.read(f"{url}{'&' if query else '?'}ssl_cert_reqs=none")
        assert redis_url.connect(trusting, timeout_seconds=2).ping()


def test_a_cluster_is_refused_when_it_is_reached(database: str, tmp_path: Path) -> None:
    # By default the bus has the port 10,000 above, which there may not be.
    bus = ["--cluster-port", str(ports.find_free())]
    with running(tmp_path, "--cluster-enabled", "yes", *bus) as port:
        url = f"redis://:{WRITTEN}@127.0.0.1:{port}/0"
        # The worker ends with one line
        worker = WorkerProcess(tmp_path / "worker.log", REDIS_URL=url)
        with pytest.raises(AssertionError):
            worker.__enter__()
        assert worker.process.wait(30) == 1
        assert worker.log.count("REDIS_URL names a node of a Redis Cluster") == 1
        assert "Traceback" not in worker.log
        # So does beat
        log = tmp_path / "beat.log"
        with process("beat", log, REDIS_URL=url) as beat:
            assert beat.wait(60) == 0
        assert log.read_text().count("REDIS_URL names a node of a Redis Cluster") == 1
        # And so do the stack, and the client before anything is copied
        with pytest.raises(DevstackError, match="Redis Cluster"):
            probes.require_redis(url)
        with (
            CeleryBillingClient(redis_url=url) as client,
            pytest.raises(InvalidRequest, match="names a node of a Redis Cluster"),
        ):
            client.charge_lead("L-1", "clinic:42", 600_000)


@pytest.mark.parametrize(
    "url",
    ["rediss://127.0.0.1:{port}/0", "unix:///nowhere/redis.sock",
     "sentinel://127.0.0.1:{port}/0?master_name=m"],
)  # fmt: skip
def test_nothing_waits_for_redis_until_something_is_sent(url: str) -> None:
    address = addresses.read(url.format(port=ports.find_free()))

    client = redis_url.connect(address, timeout_seconds=2)

    redis_url.celery_broker(address, timeout_seconds=2)
    with pytest.raises(RedisConnectionError):
        client.ping()


def test_redis_url_is_the_broker_whatever_else_celery_would_read() -> None:
    other = "redis://127.0.0.1:1/0"
    environment = {
        **os.environ, "REDIS_URL": "redis://127.0.0.1:2/0", "CELERY_BROKER_URL": other,
        "CELERY_BROKER_READ_URL": other, "CELERY_BROKER_WRITE_URL": other,
        "CELERY_RESULT_BACKEND": other,
    }  # fmt: skip
    show = (
        "from worker.app import app; print(app.connection_for_read().port,"
        " app.connection_for_write().port, app.conf.broker_url, app.conf.result_backend)"
    )

    shown = subprocess.run(
        [sys.executable, "-c", show], env=environment, cwd=settings.PROJECT_DIR,
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert shown.stdout == "2 2 redis://127.0.0.1:2/0 None\n"

"""Redis as others run it: on a socket, behind TLS, found by Sentinels, as a cluster."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from redis import Redis

from devstack import ports, redis_server
from tests.stack_process import eventually

CERTIFICATES = Path(__file__).parent / "certificates"
AUTHORITY = CERTIFICATES / "authority.pem"
"""Signed what the proxy shows: for 127.0.0.1, until 2126. Its key was thrown away."""
PASSWORD = "s3cr3t/p@ss"
SENTINEL_PASSWORD = "s3ntinel-s3cr3t"
MASTER = "our-master"


@contextmanager
def running(folder: Path, *options: str) -> Iterator[int]:
    """Run a server with a password; yield its port."""
    port = ports.find_free()
    own = ["--port", str(port), "--bind", ports.HOST, "--save", "", "--dir", str(folder)]
    password = ["--requirepass", PASSWORD]
    with _process([_binary(folder), *own, *password, *options], folder / "redis.log"):
        with Redis(port=port, password=PASSWORD) as client:
            eventually("the server answers", lambda: _answers(client))
        yield port


@contextmanager
def sentinel_of(folder: Path, master_port: int) -> Iterator[int]:
    """Run a Sentinel, with a password of its own; yield its port."""
    port = ports.find_free()
    configuration = folder / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind {ports.HOST}\ndir {folder}\nrequirepass {SENTINEL_PASSWORD}\n"
        f"sentinel monitor {MASTER} {ports.HOST} {master_port} 1\n"
        f"sentinel auth-pass {MASTER} {PASSWORD}\n"
    )
    command = [_binary(folder), str(configuration), "--sentinel"]
    with _process(command, folder / "sentinel.log"):
        with Redis(port=port, password=SENTINEL_PASSWORD) as client:
            eventually("the Sentinel answers", lambda: _answers(client))
        yield port


@contextmanager
def tls_in_front_of(port: int) -> Iterator[int]:
    """Take TLS and hand what it carries to the server at `port`; yield the port of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem")
    with socket.create_server((ports.HOST, 0)) as listening:
        threading.Thread(target=_serve, args=(listening, context, port), daemon=True).start()
        yield listening.getsockname()[1]


def _serve(listening: socket.socket, context: ssl.SSLContext, port: int) -> None:
    while True:
        try:
            taken, _ = listening.accept()
        except OSError:
            return  # the end of the test
        threading.Thread(target=_carry, args=(taken, context, port), daemon=True).start()


def _carry(taken: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with (
        taken,
        suppress(OSError),
        context.wrap_socket(taken, server_side=True) as outer,
        socket.create_connection((ports.HOST, port)) as inner,
    ):
        answering = threading.Thread(target=_pump, args=(inner, outer), daemon=True)
        answering.start()
        _pump(outer, inner)
        answering.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[None]:
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def _binary(folder: Path) -> str:
    return str(redis_server.prepare(folder).binary)


def _answers(client: Redis) -> bool:
    with suppress(OSError, Exception):
        return bool(client.ping())
    return False

"""A receiver that answers as badly as it is asked to: raw sockets, with or without TLS."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Behaviour = Callable[[socket.socket], object]
"""Answers one request on a connection; the connection is kept if it returns nothing."""


@dataclass
class Receiver:
    """What it listens on, and what it was sent."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    names: list[str | None] = field(default_factory=list)
    """What TLS clients called it (SNI)."""


@contextmanager
def receiving(
    *behaviours: Behaviour, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[Receiver]:
    """Listen on a free port of this computer; each request gets the next behaviour, or the last."""
    listener = socket.create_server((host, 0))
    receiver = Receiver(listener.getsockname()[1])
    ended = threading.Event()
    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: receiver.names.append(name)

    def accept() -> None:
        while not ended.is_set():
            with suppress(OSError):
                connection, _ = listener.accept()
                receiver.connections += 1
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            spoken = tls.wrap_socket(connection, server_side=True) if tls else connection
            with spoken:
                while request := read_request(spoken):
                    receiver.requests.append(request)
                    behave = behaviours[min(len(receiver.requests), len(behaviours)) - 1]
                    if behave(spoken) is not None:
                        return

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield receiver
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def read_request(connection: socket.socket) -> bytes:
    """Return one request, head and body; nothing if the connection ends before."""
    read = b""
    while b"\r\n\r\n" not in read:
        if not (part := connection.recv(65536)):
            return b""
        read += part
    head, _, body = read.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def says(*parts: bytes, then_closes: bool = False) -> Behaviour:
    """Answer with these bytes."""

    def behave(connection: socket.socket) -> object:
        for part in parts:
            connection.sendall(part)
        return then_closes or None

    return behave


def status(line: str, *headers: str, body: bytes = b"") -> Behaviour:
    """Answer with a status such as `301 Moved Permanently`."""
    head = "\r\n".join([f"HTTP/1.1 {line}", *headers, f"Content-Length: {len(body)}", "", ""])
    return says(head.encode(), body)


def drips(*, first: bytes = b"", seconds: float = 0.05) -> Behaviour:
    """Answer with a byte now and then, for ever."""

    def behave(connection: socket.socket) -> object:
        connection.sendall(first)
        while True:
            connection.sendall(b"x")
            time.sleep(seconds)

    return behave


def resets(connection: socket.socket) -> object:
    """Break the connection off."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    return True


def hangs(connection: socket.socket) -> object:
    """Say nothing until the other side has had enough."""
    connection.recv(1)
    return True

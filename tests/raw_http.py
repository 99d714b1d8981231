"""Requests as no HTTP library sends them: cut short, chunked without an end, with doubled lines."""

import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from tests.server_process import Answer, Header, ServerProcess


def head(method: str, path: str, headers: Iterable[Header]) -> bytes:
    """Return the head of a request, ended; `headers` as they are, in their order."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{method} {path} HTTP/1.1\r\nHost: tests\r\n{lines}\r\n".encode()


def announcing(length: int) -> Header:
    return ("content-length", str(length))


CHUNKED: Header = ("transfer-encoding", "chunked")


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def exchange(server: ServerProcess, sent: bytes, *, ending: bool = False) -> Answer:
    """Send bytes on a connection of their own, `ending` it for sending; return the answer."""
    with server.open_socket() as bare:
        bare.sendall(sent)
        if ending:
            bare.shutdown(socket.SHUT_WR)
        return server.answer_on(bare)


def exchange_two(server: ServerProcess, first: bytes, second: bytes) -> tuple[Answer, Answer]:
    """Send two requests one after the other on one connection, the first body after its head.

    If the first answer says that it closes the connection, the second goes on one of its own, as
    every client does it.
    """
    begun, _, body = first.partition(b"\r\n\r\n")
    with server.open_socket() as bare:
        bare.sendall(begun + b"\r\n\r\n")
        time.sleep(0.05)  # a server that refuses by the head alone has answered by now
        bare.sendall(body)
        answer = server.answer_on(bare)
        if answer.headers.get("connection") == "close":
            return answer, exchange(server, second)
        bare.sendall(second)
        return answer, server.answer_on(bare)


@contextmanager
def held_open(server: ServerProcess, sent: bytes, *, count: int) -> Iterator[list[socket.socket]]:
    """Keep so many connections open that have sent this and say no more."""
    with ExitStack() as stack:
        clients = [stack.enter_context(server.open_socket()) for _ in range(count)]
        for client in clients:
            client.sendall(sent)
        yield clients

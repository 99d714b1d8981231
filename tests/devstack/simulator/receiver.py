"""A receiver of webhooks that keeps what it was sent and answers as it is set."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WAIT_SECONDS = 20
DROP = 0
"""In place of a status: close the connection without an answer."""


@dataclass(frozen=True)
class Received:
    """One request, as it came."""

    path: str
    headers: list[tuple[str, str]]
    body: bytes
    at: float

    def header(self, name: str) -> str:
        """The one value of a header."""
        (value,) = [v for n, v in self.headers if n.lower() == name.lower()]
        return value


@dataclass
class Receiver:
    """What came, and what is answered: `statuses` in turn, the last for ever."""

    url: str = ""
    requests: list[Received] = field(default_factory=list)
    statuses: list[int] = field(default_factory=lambda: [200])
    delay_seconds: float = 0

    def wait_for(self, count: int) -> list[Received]:
        """Return the requests when there are at least `count`."""
        wait_until(lambda: len(self.requests) >= count, self)
        return list(self.requests)


def wait_until(true: Callable[[], bool], what: object = None) -> None:
    """Return when `true()` is; fail when it does not become so."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver for as long as the block lasts."""
    receiver, lock = Receiver(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                receiver.requests.append(
                    Received(self.path, self.headers.items(), body, time.monotonic())
                )
                more = len(receiver.statuses) > 1
                status = receiver.statuses.pop(0) if more else receiver.statuses[0]
            time.sleep(receiver.delay_seconds)
            if status == DROP:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

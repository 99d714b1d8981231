"""Platforms that receive notices: one server, a path for each endpoint, and what it was sent."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from standardwebhooks import Webhook


@dataclass(frozen=True)
class Received:
    """One call that came in."""

    path: str
    notice_id: str
    body: bytes
    headers: dict[str, str]
    at: float
    """`time.monotonic()`, one clock for all processes of a machine."""

    @property
    def data(self) -> dict[str, Any]:
        """The notice's data."""
        found: dict[str, Any] = json.loads(self.body)["data"]
        return found

    def verify(self, secret: str) -> None:
        """Fail unless the published library verifies it."""
        Webhook(secret).verify(self.body.decode(), self.headers)


Behaviour = Callable[[Received], int]
"""Returns the status of the answer; may wait or do something before."""


class Platforms:
    """What the endpoints answer, and what they were sent, in the order of its arrival."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.received: list[Received] = []
        self.behaviours: dict[str, Behaviour] = {}
        """Of a path; any other takes what it is sent."""

    def url(self, path: str) -> str:
        """Return the address of an endpoint."""
        return f"http://127.0.0.1:{self.port}/{path}"

    def at(self, path: str) -> list[Received]:
        """Return what came to an endpoint."""
        return [call for call in list(self.received) if call.path == path]

    def ids(self) -> dict[str, list[str]]:
        """Return path -> the ids that came, in their order."""
        found: dict[str, list[str]] = defaultdict(list)
        for call in list(self.received):
            found[call.path].append(call.notice_id)
        return dict(found)


@contextmanager
def listening() -> Iterator[Platforms]:
    """Receive on a free port of this computer."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm: ClassVar[bool] = True

        def do_POST(self) -> None:
            at = time.monotonic()
            body = self.rfile.read(int(self.headers["Content-Length"]))
            call = Received(
                self.path.removeprefix("/"), self.headers["webhook-id"], body,
                {name.lower(): value for name, value in self.headers.items()}, at,
            )  # fmt: skip
            platforms.received.append(call)
            status = behave(call) if (behave := platforms.behaviours.get(call.path)) else 200
            with suppress(OSError):
                self.wfile.write(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n".encode())

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 256

        def handle_error(self, *_: object) -> None:
            pass  # a worker that was killed breaks its connections

    server = Server(("127.0.0.1", 0), Handler)
    platforms = Platforms(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield platforms
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

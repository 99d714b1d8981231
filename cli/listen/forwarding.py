"""A receiver of notices on the loopback address, which hands each one on to a program.

It forwards the very bytes and headers, says what the program answered, and answers the sender the
same: an error is sent again, as it would be to a real endpoint.
"""

import http.client
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import SplitResult, urlsplit

HOST = "127.0.0.1"
TIMEOUT_SECONDS = 12
"""Less than the 15 seconds that the sender waits: what the program did is reported by us."""
MOST_BYTES = 1 << 20
_NOT_HANDED_ON = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding"}
_GONE = 410
NOBODY = "nothing listens there"


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What came of one notice; `status` None: the program gave no answer, `problem` says why."""

    headers: Mapping[str, str]
    body: bytes
    status: int | None
    problem: str | None
    milliseconds: int

    @property
    def notice_id(self) -> str:
        """The `webhook-id`."""
        return next((v for name, v in self.headers.items() if name.lower() == "webhook-id"), "-")

    @property
    def answer(self) -> int:
        """The status for the sender.

        Without a program that answers: 503, so that it tries again. 410 would switch the endpoint
        off, and this one ends with its command.
        """
        if self.status is None:
            return 503
        return 200 if self.status == _GONE else self.status


Report = Callable[[Forwarded], None]


class Receiver(ThreadingHTTPServer):
    """Receives notices on a free port; `report` is called for each, after its forward."""

    daemon_threads = True

    def __init__(self, target: str | None, report: Report) -> None:
        """`target` is the address to forward to; None: each notice is answered 200."""
        super().__init__((HOST, 0), _Handler)
        self.target = urlsplit(target) if target is not None else None
        self.report = report
        self.unheard: set[int] = set()
        """The notices that found no program at the address."""

    @property
    def url(self) -> str:
        """The address that an endpoint has to send to."""
        return f"http://{HOST}:{self.server_port}/"

    def reaches_its_target(self) -> bool:
        """Return whether something listens at the target."""
        if self.target is None:
            return True
        port = self.target.port or (443 if self.target.scheme == "https" else 80)
        try:
            socket.create_connection((self.target.hostname or "", port), timeout=1).close()
        except OSError:
            return False
        return True

    def note(self, found: Forwarded) -> None:
        """Note whether the program was there, and report the notice."""
        number = found.notice_id.removeprefix("ntc_")
        if number.isdigit():
            if found.problem == NOBODY:
                self.unheard.add(int(number))
            else:
                self.unheard.discard(int(number))
        self.report(found)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that went away is no matter: it sends again."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_SECONDS
    server: Receiver

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MOST_BYTES:
            self.send_error(411 if not length.isdigit() else 413)
            return
        body = self.rfile.read(int(length))
        found = forward(self.server.target, dict(self.headers.items()), body)
        self.server.note(found)
        self.send_response_only(found.answer)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: `report` says what came."""


def forward(target: SplitResult | None, headers: Mapping[str, str], body: bytes) -> Forwarded:
    """Hand a notice on to a program, and return what it answered. Raises nothing."""
    if target is None:
        return Forwarded(headers, body, 200, None, 0)
    kept = {name: value for name, value in headers.items() if name.lower() not in _NOT_HANDED_ON}
    kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
    started = time.monotonic()
    status, problem = None, None
    connection = kind(target.hostname or "", target.port, timeout=TIMEOUT_SECONDS)
    try:
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        connection.request("POST", path, body, kept)
        status = connection.getresponse().status
    except TimeoutError:
        problem = f"no answer within {TIMEOUT_SECONDS} s"
    except ConnectionRefusedError:
        problem = NOBODY
    except (OSError, http.client.HTTPException) as error:
        problem = f"no answer ({type(error).__name__})"
    finally:
        connection.close()
    taken = round((time.monotonic() - started) * 1000)
    return Forwarded(headers, body, status, problem, taken)

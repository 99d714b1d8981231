"""A network between a platform and the API that loses answers on request, and tells what passed."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from devstack import ports
from tests.billing_client.scripted_server import Asked


class LossyProxy:
    """Hands requests on to a port of this machine, and answers back, unless set to lose them.

    With a port for the webhooks too it is the one proxy before API and receiver.
    """

    def __init__(self, upstream: int, webhooks: int | None = None) -> None:
        self.asked: list[Asked] = []
        self.is_down = False
        """Nothing passes at all."""
        self._losses: dict[str, int] = {}
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                if outer.is_down:
                    self.close_connection = True
                    return
                port = upstream
                if webhooks is not None and self.path.startswith("/webhooks/"):
                    port = webhooks
                answer, content = _asked(port, self.command, self.path, body, headers)
                with outer._lock:
                    outer.asked.append(Asked(self.command, self.path, headers, body))
                    if outer._is_lost(self.command, self.path):
                        self.close_connection = True  # the work is done; nobody hears of it
                        return
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("server", "date", "connection", "transfer-encoding"):
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PATCH = do_DELETE = do_POST  # noqa: N815 - the standard library's names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer((ports.HOST, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{ports.HOST}:{self._server.server_address[1]}"

    def reset(self) -> None:
        """Be as at the start."""
        self.asked.clear()
        self._losses.clear()
        self.is_down = False

    def lose(self, step: str, *, times: int = 1) -> None:
        """Lose the answers of the next requests for `step`: place, status, capture, void, any."""
        self._losses[step] = times

    def count(self, step: str) -> int:
        """How many requests for `step` have come to the API."""
        return sum(_step(asked.method, asked.path) == step for asked in self.asked)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _is_lost(self, method: str, path: str) -> bool:
        step = "any" if self._losses.get("any") else _step(method, path)
        left = self._losses.get(step, 0)
        self._losses[step] = max(left - 1, 0)
        return left > 0


def _asked(
    port: int, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(ports.HOST, port, timeout=30)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def _step(method: str, path: str) -> str:
    last = path.rpartition("/")[2]
    if last in ("capture", "void", "charges"):
        return last
    return "place" if method == "POST" else "status"

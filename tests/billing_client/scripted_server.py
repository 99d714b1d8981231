"""An HTTP server that answers by a script, and remembers what it was asked."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from devstack import ports


@dataclass(frozen=True)
class Reply:
    """What the server says; `status` 0 closes the connection without a word."""

    status: int
    content: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What the server was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    port: int = field(default=0, compare=False)
    """Of the caller: each of its connections has another."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # of callers that come at once; by default 5


class ScriptedServer:
    """Gives the replies of its script in turn, the last one for ever."""

    def __init__(self, *script: Reply) -> None:
        self.asked: list[Asked] = []
        replies = list(script)
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with lock:
                    port = self.client_address[1]
                    outer.asked.append(Asked(self.command, self.path, headers, body, port))
                    reply = replies.pop(0) if len(replies) > 1 else replies[0]
                if not reply.status:
                    self.close_connection = True
                    return
                content = json.dumps(reply.content).encode()
                self.send_response(reply.status)
                for name, value in {**reply.headers, "content-length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PATCH = do_DELETE = do_POST  # noqa: N815 - the standard library's names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = _Server((ports.HOST, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{ports.HOST}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

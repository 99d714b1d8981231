"""The HTTP server of a simulator, in threads of this process: for good, or for a `with` block."""

import logging
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from devstack.simulator.app import create_app
from devstack.simulator.config import Config
from devstack.simulator.faults import LOSE
from devstack.simulator.world import World

log = logging.getLogger("simulator")


@dataclass(frozen=True)
class Running:
    """A simulator that answers."""

    world: World
    url: str
    """What RAZORPAY_API_BASE is set to."""

    @property
    def stripe_url(self) -> str:
        """What STRIPE_API_BASE is set to."""
        return f"{self.url}/stripe"


@contextmanager
def running(config: Config) -> Iterator[Running]:
    """Run a simulator for as long as the block lasts."""
    world = World(config)
    server = _server(world)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield Running(world, f"http://{config.host}:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        world.close()


def serve(config: Config) -> None:
    """Run a simulator until the process is interrupted."""
    world = World(config)
    server = _server(world)
    log.info("simulator: listening on http://%s:%s", config.host, server.server_port)
    try:
        server.serve_forever()
    finally:
        server.server_close()  # webhooks under way end with the process


def _server(world: World) -> BaseWSGIServer:
    config = world.config
    return make_server(
        config.host, config.port, _Door(create_app(world)), threaded=True, request_handler=_Handler
    )


class _Door:
    """Closes the connection instead of answering if a switch says so."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answer: Iterable[bytes] = self._app(environ, start_response)
        if environ.get(LOSE):
            getattr(answer, "close", lambda: None)()
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError("the answer is lost, as the switch says")
        return answer


class _Handler(WSGIRequestHandler):
    @property
    def server_version(self) -> str:  # type: ignore[override]
        return "Simulator"

    def version_string(self) -> str:
        return "Simulator"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002
        # Without the query: a page's holds the address that a signature is sent to.
        path = getattr(self, "path", "-").partition("?")[0]
        log.info("simulator: %s %s %s", getattr(self, "command", "-"), path, code)

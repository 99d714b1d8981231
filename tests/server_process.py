"""A server of the product as it runs in production: the Procfile's command, over real HTTP."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import settings
from devstack import ports, procfile
from tests.conftest import addresses_of

START_SECONDS = 60
"""It takes 3 or 4; the rest is for a busy machine."""
STOP_SECONDS = 30

Header = tuple[str, str]


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which must be JSON and say so."""
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def but_for_its_id(self) -> bytes:
        """The body, the id of the request left out: to compare the answers to two requests."""
        return self.body.replace(self.headers["x-request-id"].encode(), b"")

    @property
    def said(self) -> Any:
        """The body without the id of the request, which must be that of the header."""
        content = self.json
        assert content.pop("request_id") == self.headers["x-request-id"]
        return content


class ServerProcess:
    """One server, started with the Procfile's command of its name on a free port."""

    name: ClassVar[str]
    secret_headers: ClassVar[frozenset[str]]
    """The headers whose values must never be logged; those that were sent are kept."""

    def __init__(self, log_file: Path, **environment: str | None) -> None:
        self.log_file = log_file
        self.port = ports.find_free()
        self.statuses: list[int] = []
        self.secrets_sent: set[str] = set()
        own = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            f"{self.name.upper()}_PORT": str(self.port),
            "PYTHONWARNINGS": "error",
            "PYTHONUNBUFFERED": "1",
        }
        if database_url := environment.get("DATABASE_URL"):
            environment = {**addresses_of(database_url), **environment}
        chosen: dict[str, str | None] = {**os.environ, **own, **environment}
        # None: not set, whatever the tests' own environment says.
        self.environment = {name: value for name, value in chosen.items() if value is not None}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.launch()
        try:
            self._wait_until_alive()
        except BaseException:
            self.stop()  # nobody calls __exit__ after a failed __enter__
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The process, which must have been launched."""
        assert self._process is not None
        return self._process

    @property
    def log(self) -> str:
        """What it wrote so far, to stdout and stderr."""
        return self.log_file.read_text(errors="replace")

    def launch(self) -> None:
        """Start it without waiting for anything."""
        command = procfile.read(settings.PROJECT_DIR / "Procfile")[self.name]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=settings.PROJECT_DIR, start_new_session=True,
            )  # fmt: skip

    def stop(self) -> int:
        """Ask for the ordered stop, wait for it and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection of one's own."""
        return http.client.HTTPConnection(ports.HOST, self.port, timeout=20)

    def open_socket(self) -> socket.socket:
        """Return a bare connection, for what no HTTP library would send."""
        return socket.create_connection((ports.HOST, self.port), timeout=20)

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Iterable[Header] = ()
    ) -> Answer:
        """Make one request on a connection of its own; a header may come twice."""
        connection = self.connect()
        try:
            connection.putrequest(method, path)
            for name, value in headers:
                connection.putheader(name, value)
                if name.lower() in self.secret_headers:
                    self.secrets_sent.add(value)
            connection.putheader("content-length", str(len(body)))
            # A body that is too long is refused while it is still being sent.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.endheaders(body)
            return self.answer_of(connection)
        finally:
            connection.close()

    def answer_of(self, connection: http.client.HTTPConnection) -> Answer:
        """Read the answer to what was sent on `connection`."""
        return self._kept(connection.getresponse())

    def answer_on(self, bare: socket.socket) -> Answer:
        """Read the answer to what was sent on a bare connection."""
        response = http.client.HTTPResponse(bare)
        try:
            response.begin()
            return self._kept(response)
        finally:
            response.close()

    def _kept(self, response: http.client.HTTPResponse) -> Answer:
        self.statuses.append(response.status)
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())

    def get(self, path: str) -> Answer:
        """GET one address."""
        return self.request("GET", path)

    def _wait_until_alive(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._is_alive():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def _is_alive(self) -> bool:
        try:
            connection = self.connect()
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

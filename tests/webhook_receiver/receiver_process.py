"""The receiver as it runs in production: the Procfile's command, over real HTTP."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import psycopg2

import clock
import settings
from devstack import ports, procfile
from gateways import standard_webhooks
from tests.conftest import LEAD_SECRET

START_SECONDS = 30
STOP_SECONDS = 30
PATH = "/webhooks/leads"

Header = tuple[str, str]


@dataclass(frozen=True)
class Answer:
    """What the receiver said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which must be JSON and say so."""
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)


@dataclass(frozen=True)
class InboxRow:
    """A delivery as it stands in the database."""

    source: str
    state: str
    body: bytes
    received_at: datetime


@dataclass(frozen=True)
class Delivery:
    """A lead event as a sender would post it, signed unless a test spoils it."""

    body: bytes
    headers: dict[str, str]

    @property
    def id(self) -> str:
        """Its webhook-id."""
        return self.headers["webhook-id"]


def delivery(
    body: bytes = b'{"type":"lead.created"}',
    *,
    event_id: str | None = None,
    secret: str = LEAD_SECRET,
    age_seconds: int = 0,
    **headers: str | None,
) -> Delivery:
    """Return a signed delivery; `webhook_id=None` leaves a header out, another text replaces it."""
    event_id = event_id or f"msg_{uuid4().hex}"
    timestamp = int(clock.now().timestamp()) - age_seconds
    all_headers: dict[str, str | None] = {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": standard_webhooks.sign(
            secret, message_id=event_id, timestamp=timestamp, body=body
        ),
    }
    all_headers |= {name.replace("_", "-"): value for name, value in headers.items()}
    return Delivery(body, {name: value for name, value in all_headers.items() if value is not None})


class ReceiverProcess:
    """One receiver, started with the Procfile's command on a free port."""

    def __init__(self, log_file: Path, **environment: str | None) -> None:
        self.log_file = log_file
        self.port = ports.find_free()
        self.statuses: list[int] = []
        self.signatures_sent: set[str] = set()
        own = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "RECEIVER_PORT": str(self.port),
            "PYTHONWARNINGS": "error",
            "PYTHONUNBUFFERED": "1",
        }
        chosen: dict[str, str | None] = {**os.environ, **own, **environment}
        # None: not set, whatever the tests' own environment says.
        self._environment = {name: value for name, value in chosen.items() if value is not None}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.launch()
        deadline = time.monotonic() + START_SECONDS
        while not self._is_alive():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)
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
        command = procfile.read(settings.PROJECT_DIR / "Procfile")["receiver"]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
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
                if name == "webhook-signature":
                    self.signatures_sent.add(value)
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

    def post(self, sent: Delivery) -> Answer:
        """Post a lead delivery."""
        return self.request("POST", PATH, sent.body, sent.headers.items())

    def event_ids(self) -> set[str]:
        """Every event id in the inbox."""
        with closing(psycopg2.connect(self._environment["DATABASE_URL"])) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT event_id FROM inbound_events")
            return {event_id for (event_id,) in cursor}

    def rows_of(self, event_id: str) -> list[InboxRow]:
        """What the inbox holds under an event id, oldest first."""
        with closing(psycopg2.connect(self._environment["DATABASE_URL"])) as connection:
            cursor = connection.cursor()
            cursor.execute(
                "SELECT source, state, body, received_at FROM inbound_events"
                " WHERE event_id = %s ORDER BY id",
                (event_id,),
            )
            return [InboxRow(s, state, bytes(body), at) for s, state, body, at in cursor]

    def _is_alive(self) -> bool:
        try:
            connection = self.connect()
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def one_process(log_file: Path, **environment: str | None) -> ReceiverProcess:
    """Return a receiver with one worker process, for tests that stop theirs soon.

    Granian does not end when it is stopped while a worker is still starting; with one worker,
    whoever was answered knows that it is up.
    """
    return ReceiverProcess(log_file, RECEIVER_PROCESSES="1", **environment)

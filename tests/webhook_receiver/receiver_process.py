"""The receiver as it runs in production: the Procfile's command, over real HTTP."""

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import psycopg2

import clock
from service import standard_webhooks
from tests.conftest import LEAD_SECRET
from tests.server_process import Answer, ServerProcess

PATH = "/webhooks/leads"


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


class ReceiverProcess(ServerProcess):
    """One receiver, and what its inbox holds."""

    name = "receiver"
    secret_headers = frozenset({"webhook-signature", "x-razorpay-signature", "stripe-signature"})

    def post(self, sent: Delivery) -> Answer:
        """Post a lead delivery."""
        return self.request("POST", PATH, sent.body, sent.headers.items())

    def event_ids(self) -> set[str]:
        """Every event id in the inbox."""
        with closing(psycopg2.connect(self.environment["DATABASE_URL"])) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT event_id FROM inbound_events")
            return {event_id for (event_id,) in cursor}

    def rows_of(self, event_id: str) -> list[InboxRow]:
        """What the inbox holds under an event id, oldest first."""
        return self._rows("event_id = %s", event_id)

    def rows_with(self, body: bytes) -> list[InboxRow]:
        """What the inbox holds of a body, under whichever id, oldest first."""
        return self._rows("body_sha256 = %s", sha256(body).digest())

    def _rows(self, condition: str, value: str | bytes) -> list[InboxRow]:
        with closing(psycopg2.connect(self.environment["DATABASE_URL"])) as connection:
            cursor = connection.cursor()
            cursor.execute(
                "SELECT source, state, body, received_at FROM inbound_events"
                f" WHERE {condition} ORDER BY id",
                (value,),
            )
            return [InboxRow(s, state, bytes(body), at) for s, state, body, at in cursor]


def one_process(log_file: Path, **environment: str | None) -> ReceiverProcess:
    """Return a receiver with one worker process, for tests that stop theirs soon.

    Granian does not end when it is stopped while a worker is still starting; with one worker,
    whoever was answered knows that it is up.
    """
    return ReceiverProcess(log_file, RECEIVER_PROCESSES="1", **environment)

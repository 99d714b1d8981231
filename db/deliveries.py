"""Deliveries become rows of the inbox, before anything else happens with them.

Called by the webhook receiver (in batches) and by the tasks that platforms call. `db/inbox.py` says
how the rows are worked on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from psycopg2.extras import execute_values
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.inbox import NOTHING_KNOWN, Subject, report_dead, storable
from db.session import one_statement
from service import request_ids


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A delivery to record: the raw bytes as they came."""

    source: str
    event_id: str
    body: bytes
    received_at: datetime
    request_id: str | None = field(default_factory=request_ids.current)
    """Of the request that brought it; None: it came another way."""


@dataclass(frozen=True, slots=True)
class RefusedEvent:
    """A delivery that is dead from the start, and the reason."""

    event: NewEvent
    error: str
    type: str | None = None
    subject: Subject = NOTHING_KNOWN


def record(session: Session, events: Sequence[NewEvent]) -> list[bool]:
    """Insert the deliveries; return for each whether it is new (False: seen before).

    The same id with another body is a delivery of its own: ids come in unsigned headers.
    """
    rows = [
        (
            e.source, e.event_id, sha256(e.body).digest(), e.body, e.received_at, e.received_at,
            e.request_id,
        )
        for e in events
    ]  # fmt: skip
    cursor = session.connection().connection.cursor()
    try:
        inserted = execute_values(
            cursor,
            "INSERT INTO inbound_events (source, event_id, body_sha256, body, received_at,"
            " next_attempt_at, request_id, state) VALUES %s"
            " ON CONFLICT (source, event_id, body_sha256) DO NOTHING"
            " RETURNING source, event_id, body_sha256",
            rows,
            template="(%s, %s, %s, %s, %s, %s, %s, 'pending')",
            page_size=len(rows),
            fetch=True,
        )
    finally:
        cursor.close()
    new = {(source, event_id, bytes(digest)) for source, event_id, digest in inserted}
    answers = []
    for row in rows:
        answers.append(row[:3] in new)
        new.discard(row[:3])  # the second of two equal deliveries in one batch is a repeat
    return answers


_RECORD_ONE = """
INSERT INTO inbound_events (source, event_id, body_sha256, body, received_at, next_attempt_at,
                            request_id, state)
VALUES (%s, %s, %s, %s, %s, %s, %s, 'pending')
    ON CONFLICT (source, event_id, body_sha256) DO NOTHING
"""


def record_one(event: NewEvent) -> None:
    """Record one delivery in a transaction of its own; one seen before is left as it is.

    For a door through which deliveries come one by one: takes about a third of the time of
    `record` in a `transaction()`.
    """
    e = event
    digest = sha256(e.body).digest()
    with one_statement() as cursor:
        cursor.execute(
            _RECORD_ONE,
            (e.source, e.event_id, digest, e.body, e.received_at, e.received_at, e.request_id),
        )


_RECORD_DEAD = text("""
INSERT INTO inbound_events (source, event_id, body_sha256, body, received_at, next_attempt_at,
                            state, last_error, handled_at, type, lead_id, account_ref, request_id)
VALUES (:source, :event_id, :digest, :body, :now, :now, 'dead', :error, :now, :type, :lead_id,
        :account_ref, :request_id)
ON CONFLICT (source, event_id, body_sha256) DO NOTHING
RETURNING id
""")


def record_dead(session: Session, refused: Iterable[RefusedEvent]) -> None:
    """Insert deliveries that are dead from the start.

    For what was refused before it had the form that a handler reads: an operator sees it with all
    other dead rows. A known delivery is left as it is.
    """
    for one in refused:
        event = one.event
        new_id = session.scalar(
            _RECORD_DEAD,
            {
                "source": event.source,
                "event_id": event.event_id,
                "digest": sha256(event.body).digest(),
                "body": event.body,
                "now": event.received_at,
                "error": storable(one.error),
                "type": storable(one.type),
                "lead_id": one.subject.lead_id,
                "account_ref": one.subject.account_ref,
                "request_id": event.request_id,
            },
        )
        if new_id is not None:
            report_dead(session, {new_id: one.error})

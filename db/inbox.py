"""The inbox: deliveries recorded before anything else happens, and the one retry policy.

A row is `pending` until it is `done`, `ignored` or `dead`; dead rows stay, and can be replayed.

How a batch is worked on: `lease` counts the attempt and commits; then, in a second transaction,
`load_leased` locks the rows and the handler's work and `finish` commit together. Row locks keep
other workers away while the work runs and go when its process dies, so that the lease itself
only has to cover the moment between the two transactions.

Whatever ends a batch (an error, a killed or hanging process, a lost connection), its rows come
back as a group of half the size, until the row at fault is alone. Only a row that was alone is
counted against, backed off and, after the last attempt, dead; so the innocent go through.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal
from uuid import UUID, uuid4

from psycopg2.extras import execute_values
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.bulk import int_array, text_array
from db.models import InboundEvent
from db.session import one_statement

State = Literal["pending", "done", "dead", "ignored"]

BATCH_SIZE = 500
"""Most rows of one lease."""
MAX_ATTEMPTS = 12
"""A row that fails alone this often is dead: after about 45 minutes with the delays below."""
LEASE = timedelta(seconds=10)
"""Longest pause between leasing rows and locking them; after it their worker counts as gone."""
FIRST_RETRY = timedelta(seconds=2)
LAST_RETRY = timedelta(minutes=15)
_ERROR_MAX_LENGTH = 2_000


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A delivery to record: the raw bytes as they came."""

    source: str
    event_id: str
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Lease:
    """Rows that this worker, and no other, works on now."""

    id: UUID
    event_ids: tuple[int, ...]
    suspect: bool
    """These rows belonged to a batch that ended badly."""


@dataclass(frozen=True, slots=True)
class LeasedEvent:
    """What a handler needs of a row."""

    id: int
    event_id: str
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Finished:
    """How a row ends: done or ignored with its outcome, or dead with its error."""

    state: Literal["done", "ignored", "dead"]
    outcome: str | None = None
    error: str | None = None
    type: str | None = None


def record(session: Session, events: Sequence[NewEvent]) -> list[bool]:
    """Insert the deliveries; return for each whether it is new (False: seen before).

    The same id with another body is a delivery of its own: ids come in unsigned headers.
    """
    rows = [
        (e.source, e.event_id, sha256(e.body).digest(), e.body, e.received_at, e.received_at)
        for e in events
    ]
    cursor = session.connection().connection.cursor()
    try:
        inserted = execute_values(
            cursor,
            "INSERT INTO inbound_events (source, event_id, body_sha256, body, received_at,"
            " next_attempt_at, state) VALUES %s"
            " ON CONFLICT (source, event_id, body_sha256) DO NOTHING"
            " RETURNING source, event_id, body_sha256",
            rows,
            template="(%s, %s, %s, %s, %s, %s, 'pending')",
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
                            state)
VALUES (%s, %s, %s, %s, %s, %s, 'pending') ON CONFLICT (source, event_id, body_sha256) DO NOTHING
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
            _RECORD_ONE, (e.source, e.event_id, digest, e.body, e.received_at, e.received_at)
        )


_RECORD_DEAD = text("""
INSERT INTO inbound_events (source, event_id, body_sha256, body, received_at, next_attempt_at,
                            state, last_error, handled_at)
VALUES (:source, :event_id, :digest, :body, :now, :now, 'dead', :error, :now)
ON CONFLICT (source, event_id, body_sha256) DO NOTHING
""")


def record_dead(session: Session, refused: Iterable[tuple[NewEvent, str]]) -> None:
    """Insert deliveries that are dead from the start, each with the reason.

    For what was refused before it had the form that a handler reads: an operator sees it with all
    other dead rows. A known delivery is left as it is.
    """
    for event, error in refused:
        session.execute(
            _RECORD_DEAD,
            {
                "source": event.source,
                "event_id": event.event_id,
                "digest": sha256(event.body).digest(),
                "body": event.body,
                "now": event.received_at,
                "error": _storable(error),
            },
        )


_CANDIDATES = text("""
SELECT id, attempts, lease_id, lease_size, leased_until FROM inbound_events
 WHERE source = :source AND state = 'pending' AND next_attempt_at <= :now
   AND (leased_until IS NULL OR leased_until < :now)
 ORDER BY next_attempt_at, id LIMIT :limit FOR UPDATE SKIP LOCKED
""")
_LEASE = text("""
UPDATE inbound_events
   SET lease_id = :lease_id, lease_size = :size, leased_until = :until,
       attempts = attempts + :counted, next_attempt_at = coalesce(:retry_at, next_attempt_at)
 WHERE id = ANY(CAST(:ids AS bigint[]))
""")


def lease(session: Session, source: str, *, now: datetime) -> Lease | None:
    """Take up to `BATCH_SIZE` due rows of `source`, oldest first; None if none is due.

    Commit before working on them. Rows of a lease that ended badly are taken with companions
    of that lease only, half as many. A row that killed its process when it was alone, and that
    on its last attempt, is dead and not taken.
    """
    while True:
        rows = session.execute(
            _CANDIDATES, {"source": source, "now": now, "limit": BATCH_SIZE}
        ).all()
        if not rows:
            return None
        first = rows[0]
        if first.lease_size == 1 and first.leased_until and first.attempts >= MAX_ATTEMPTS:
            _finish_killer(session, first.id, first.attempts, now)
            continue
        size = BATCH_SIZE if first.lease_size is None else max(1, first.lease_size // 2)
        taken = [row for row in rows if row.lease_id == first.lease_id][:size]
        alone = len(taken) == 1
        # A batch that comes back smaller was counted when it was whole: its rows are not to
        # blame until one is alone. Alone, the next attempt waits, should this one kill us.
        counted = 1 if alone or first.lease_id is None else 0
        lease_id = uuid4()
        session.execute(
            _LEASE,
            {
                "lease_id": lease_id,
                "size": len(taken),
                "until": now + LEASE,
                "counted": counted,
                "retry_at": now + _backoff(first.attempts + 1) if alone else None,
                "ids": int_array(row.id for row in taken),
            },
        )
        return Lease(lease_id, tuple(row.id for row in taken), first.lease_id is not None)


_LESS_PATIENCE = text("SET LOCAL lock_timeout = '500ms'")
_LOAD = text("""
SELECT id, event_id, body, received_at FROM inbound_events
 WHERE id = ANY(CAST(:ids AS bigint[])) AND lease_id = :lease_id AND state = 'pending'
 ORDER BY id FOR UPDATE
""")


def load_leased(session: Session, lease: Lease) -> list[LeasedEvent]:
    """Lock and return the rows of a lease, without those another worker has leased since.

    Suspects wait less for other locks: an account that is locked for long must not hold up the
    queue for five seconds at each halving.
    """
    if lease.suspect:
        session.execute(_LESS_PATIENCE)
    rows = session.execute(_LOAD, {"ids": int_array(lease.event_ids), "lease_id": lease.id}).all()
    return [LeasedEvent(id_, event_id, bytes(body), at) for id_, event_id, body, at in rows]


_FINISH = text("""
UPDATE inbound_events e
   SET state = n.state, outcome = n.outcome, last_error = n.error, type = n.type,
       handled_at = :now, leased_until = NULL
  FROM unnest(CAST(:ids AS bigint[]), CAST(:states AS text[]), CAST(:outcomes AS text[]),
              CAST(:errors AS text[]), CAST(:types AS text[])) AS n(id, state, outcome, error, type)
 WHERE e.id = n.id
""")


def finish(session: Session, finished: Iterable[tuple[int, Finished]], *, now: datetime) -> None:
    """End locked rows, in the transaction of the work itself."""
    rows = list(finished)
    if not rows:
        return
    session.execute(
        _FINISH,
        {
            "ids": int_array(id_ for id_, _ in rows),
            "states": text_array(end.state for _, end in rows),
            "outcomes": text_array(end.outcome for _, end in rows),
            "errors": text_array(_storable(end.error) for _, end in rows),
            "types": text_array(_storable(end.type) for _, end in rows),
            "now": now,
        },
    )


_GIVE_BACK = text("""
UPDATE inbound_events
   SET leased_until = NULL, last_error = :error,
       next_attempt_at = CASE WHEN :alone THEN next_attempt_at ELSE CAST(:now AS timestamptz) END,
       state = CASE WHEN :dead THEN 'dead' ELSE state END,
       handled_at = CASE WHEN :dead THEN CAST(:now AS timestamptz) ELSE handled_at END
 WHERE id = ANY(CAST(:ids AS bigint[])) AND lease_id = :lease_id AND state = 'pending'
RETURNING id, attempts
""")


def give_back(
    session: Session, lease: Lease, error: BaseException, *, permanent: bool, now: datetime
) -> None:
    """Return the rows of a lease whose work failed and was rolled back.

    A batch is due again at once, in halves, behind what waits already. A single row waits for
    its next attempt (set when it was leased); it is dead if the error is `permanent` or this
    was its last attempt.
    """
    alone = len(lease.event_ids) == 1
    last = alone and _attempts(session, lease.event_ids[0]) >= MAX_ATTEMPTS
    session.execute(
        _GIVE_BACK,
        {
            "ids": int_array(lease.event_ids),
            "lease_id": lease.id,
            "error": _storable(f"{type(error).__name__}: {error}"),
            "alone": alone,
            "dead": alone and (permanent or last),
            "now": now,
        },
    )


_DUE_SOURCES = text("""
SELECT DISTINCT source FROM inbound_events
 WHERE state = 'pending' AND next_attempt_at <= :now
   AND (leased_until IS NULL OR leased_until < :now)
""")


def due_sources(session: Session, *, now: datetime) -> list[str]:
    """Return the sources that have rows to work on."""
    return list(session.scalars(_DUE_SOURCES, {"now": now}))


_REPLAY = text("""
UPDATE inbound_events
   SET state = 'pending', attempts = 0, next_attempt_at = :now, lease_id = NULL,
       lease_size = NULL, leased_until = NULL, handled_at = NULL
 WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'dead'
RETURNING id
""")


def replay(session: Session, event_ids: Sequence[int], *, now: datetime) -> list[int]:
    """Make dead rows pending again; return those that were dead. Their last error stays."""
    return sorted(session.scalars(_REPLAY, {"ids": int_array(event_ids), "now": now}))


def dead_ids(session: Session) -> list[int]:
    """Return the ids of all dead rows."""
    return list(
        session.scalars(
            select(InboundEvent.id).where(InboundEvent.state == "dead").order_by(InboundEvent.id)
        )
    )


def newest(
    session: Session, *, state: str | None, source: str | None, limit: int
) -> Sequence[InboundEvent]:
    """Return the newest rows, newest first, of one state or source if given."""
    query = select(InboundEvent).order_by(InboundEvent.id.desc()).limit(limit)
    if state is not None:
        query = query.where(InboundEvent.state == state)
    if source is not None:
        query = query.where(InboundEvent.source == source)
    return session.scalars(query).all()


def _finish_killer(session: Session, event_id: int, attempts: int, now: datetime) -> None:
    error = f"each of {attempts} attempts ended without an error: the process was killed or hung"
    finish(session, [(event_id, Finished("dead", error=error))], now=now)


def _attempts(session: Session, event_id: int) -> int:
    return (
        session.scalar(text("SELECT attempts FROM inbound_events WHERE id = :id"), {"id": event_id})
        or 0
    )


def _backoff(attempt: int) -> timedelta:
    """Return 2 s, 4 s, 8 s ... at most 15 min, each shortened by up to a quarter at random.

    The jitter keeps rows that failed together from coming back together.
    """
    delay = min(FIRST_RETRY.total_seconds() * 2 ** (attempt - 1), LAST_RETRY.total_seconds())
    return timedelta(
        seconds=delay * random.uniform(0.75, 1.0)  # noqa: S311 - spreads load, guards no secret
    )


def _storable(message: str | None) -> str | None:
    if message is None:
        return None
    # PostgreSQL's text holds no NUL, and UTF-8 no lone surrogate; a sender may send either.
    clean = message.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
    return clean[:_ERROR_MAX_LENGTH]

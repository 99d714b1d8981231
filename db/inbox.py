"""The work on the inbox: leases of its rows, their ends, and the one retry policy.

A row is `pending` until it is `done`, `ignored` or `dead`; dead rows stay. `db/deliveries.py`
records the rows, `db/inbox_operations.py` lists and replays them.

How a batch is worked on: `lease` counts the attempt and commits; then, in a second transaction,
`load_leased` locks the rows and the handler's work and `finish` commit together. Row locks keep
other workers away while the work runs and go when its process dies, so that the lease itself
only has to cover the moment between the two transactions.

Whatever ends a batch (an error, a killed or hanging process, a lost connection), its rows come
back as a group of half the size, until the row at fault is alone. Only a row that was alone is
counted against, backed off and, after the last attempt, dead; so the innocent go through.
"""

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

from db import after_commit
from db.bulk import int_array, text_array
from service.disclosure import shown_place

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
NO_ERROR = "killed or hung"
"""The reason in the log of a row whose attempts ended without an error."""


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
    request_id: str | None = None
    """Of the request that brought it: what is written and logged for this row is that request's."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a row is about, as far as that is known and can be recorded: it is looked for by this.

    The account is the one that the sender names, whether there is one of this name or not.
    """

    lead_id: str | None = None
    account_ref: str | None = None


NOTHING_KNOWN = Subject()


@dataclass(frozen=True, slots=True)
class Finished:
    """How a row ends: done or ignored with its outcome, or dead with its error."""

    state: Literal["done", "ignored", "dead"]
    outcome: str | None = None
    error: str | None = None
    type: str | None = None
    subject: Subject = NOTHING_KNOWN


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
SELECT id, event_id, body, received_at, request_id FROM inbound_events
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
    return [
        LeasedEvent(id_, event_id, bytes(body), at, request_id)
        for id_, event_id, body, at, request_id in rows
    ]


_FINISH = text("""
UPDATE inbound_events e
   SET state = n.state, outcome = n.outcome, last_error = n.error, type = n.type,
       lead_id = n.lead_id, account_ref = n.account_ref, handled_at = :now, leased_until = NULL
  FROM unnest(CAST(:ids AS bigint[]), CAST(:states AS text[]), CAST(:outcomes AS text[]),
              CAST(:errors AS text[]), CAST(:types AS text[]),
              CAST(:lead_ids AS text[]), CAST(:account_refs AS text[]))
       AS n(id, state, outcome, error, type, lead_id, account_ref)
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
            "errors": text_array(storable(end.error) for _, end in rows),
            "types": text_array(storable(end.type) for _, end in rows),
            "lead_ids": text_array(end.subject.lead_id for _, end in rows),
            "account_refs": text_array(end.subject.account_ref for _, end in rows),
            "now": now,
        },
    )
    dead = {id_: end.error for id_, end in rows if end.state == "dead"}
    if dead:
        report_dead(session, dead)


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
    message = shown_place(error)
    last = alone and _attempts(session, lease.event_ids[0]) >= MAX_ATTEMPTS
    is_dead = alone and (permanent or last)
    given_back = session.execute(
        _GIVE_BACK,
        {
            "ids": int_array(lease.event_ids),
            "lease_id": lease.id,
            "error": storable(message),
            "alone": alone,
            "dead": is_dead,
            "now": now,
        },
    ).all()
    if is_dead:
        report_dead(session, {row.id: message for row in given_back})


_KIND_OF_ERROR = re.compile("(?:^|: )([A-Z][A-Za-z]*)(?=: | in |$)").search
_SOURCES = text("""
SELECT id, source, request_id FROM inbound_events
 WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id
""")


def report_dead(session: Session, errors: Mapping[int, str | None]) -> None:
    """Have an error line written for each row that died now, by its id and its last error.

    The line has the kind of the error alone: the rest may repeat what a sender wrote.
    """
    for id_, source, request_id in session.execute(_SOURCES, {"ids": int_array(errors)}):
        kind = _KIND_OF_ERROR(errors[id_] or "")
        reason = kind[1] if kind else NO_ERROR
        after_commit.log_error(
            session, "inbox row dead", row=id_, source=source, reason=reason, request_id=request_id
        )


_DUE_SOURCES = text("""
SELECT DISTINCT source FROM inbound_events
 WHERE state = 'pending' AND next_attempt_at <= :now
   AND (leased_until IS NULL OR leased_until < :now)
""")


def due_sources(session: Session, *, now: datetime) -> list[str]:
    """Return the sources that have rows to work on."""
    return list(session.scalars(_DUE_SOURCES, {"now": now}))


BEHIND = timedelta(seconds=1)
_BEHIND = text("""
SELECT EXISTS (SELECT FROM inbound_events WHERE state = 'pending' AND next_attempt_at <= :before)
""")


def is_behind(session: Session, *, now: datetime) -> bool:
    """Return whether a row has waited for more than a second: the workers have a backlog."""
    return bool(session.scalar(_BEHIND, {"before": now - BEHIND}))


def storable(message: str | None) -> str | None:
    """Return a message as a text that PostgreSQL can store, at most 2,000 characters long."""
    if message is None:
        return None
    # PostgreSQL's text holds no NUL, and UTF-8 no lone surrogate; a sender may send either.
    clean = message.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
    return clean[:_ERROR_MAX_LENGTH]


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

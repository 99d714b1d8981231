"""Requests under an Idempotency-Key: the lease to work on one, and its answer.

The only writer of the table `api_requests`; `api/idempotency.py` calls it. No row is ever deleted:
like a ledger key, an Idempotency-Key stands for one request for ever. A row is in one of these
states:

- leased: `claimed_until` is in the future. A process works on the request.
- abandoned: `claimed_until` has passed without an answer. The process died or ended without a final
  answer. The request may have had an effect, so only the same request can be tried again.
- free: no `claimed_until` and no answer. The request was refused and changed nothing: the key is as
  good as new.
- answered: for good.
- folded: `folded_at` is set. It is so old that retention has dropped its answer
  (`billing/privacy/`). Whatever it was, nothing is done under its key any more.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.orm import Session

import clock
from billing.access.errors import AnswerNotKept, AnswerOutOfReach
from billing.errors import IdempotencyConflict
from errors import TransientError
from service import request_ids

LEASE_SECONDS = 60
"""Longer than any request takes. After a crash, a repeat is refused for as long."""


class LeaseLost(TransientError):
    """A repeat has taken the request over: the effect of this one must be rolled back."""

    def __init__(self, key: str) -> None:
        super().__init__(f"a repeat has taken over the request with key {key!r}")
        self.key = key


@dataclass(frozen=True, slots=True)
class Request:
    """A request: its caller, key and content."""

    caller: str
    """The identity of its API key (`billing/access/keys.py`), not the name."""
    key: str
    asked: str
    """Method and path."""
    sha256: bytes
    """Of method, path and body."""
    reach: str | None = None
    """What its API key may see; None: all."""


@dataclass(frozen=True, slots=True)
class RequestLease:
    """The right of one process to work on a request."""

    caller: str
    key: str
    until: datetime
    """When it ends; this also distinguishes it from other leases of the same request."""
    operation_key: str | None = None
    """The name that the request's effects already have; None: its name follows from caller and
    key."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The final answer to a request."""

    status: int
    text: str


_INSERT = """
INSERT INTO api_requests
       (caller, idempotency_key, request, request_hash, reach, claimed_until, created_at,
        request_id)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (caller, idempotency_key) DO NOTHING RETURNING 1
"""


def lease_new(cursor: DBAPICursor, request: Request) -> RequestLease | None:
    """Lease a request if its key was never used before; else return None, and `lease` says more.

    One statement, for `db.session.pooled_statement`: nearly every key is new.
    """
    new, now = _new_lease(request)
    asked = (request.caller, request.key, request.asked, request.sha256, request.reach)
    cursor.execute(_INSERT, (*asked, new.until, now, request_ids.current()))
    return new if cursor.fetchone() else None


_LOOK = text("""
SELECT request, request_hash, reach, operation_key, claimed_until, status, answer, folded_at
  FROM api_requests
 WHERE caller = :caller AND idempotency_key = :key
""")
_TAKE_OVER = text("""
UPDATE api_requests
   SET request = :asked, request_hash = :sha256, reach = :reach, claimed_until = :until,
       request_id = :request_id
 WHERE caller = :caller AND idempotency_key = :key AND status IS NULL
   AND folded_at IS NULL
   AND (claimed_until IS NULL OR claimed_until <= :now AND request_hash = :sha256) RETURNING 1
""")


def lease(session: Session, request: Request) -> RequestLease | Answer | None:
    """Lease a request; return its answer if it has one, None while another process works on it.

    Commit before the work begins. Raises `IdempotencyConflict` if the key stands for another
    request, `AnswerOutOfReach` if the API key could see something else when it made this one,
    `AnswerNotKept` if it is so old that its answer was dropped.
    """
    cursor = session.connection().connection.cursor()
    try:
        first = lease_new(cursor, request)
    finally:
        cursor.close()
    if first is not None:
        return first
    new, now = _new_lease(request)
    asked = {
        "caller": request.caller,
        "key": request.key,
        "asked": request.asked,
        "sha256": request.sha256,
        "reach": request.reach,
        "now": now,
        "until": new.until,
        "request_id": request_ids.current(),
    }
    known = session.execute(_LOOK, asked).one()
    free = known.status is None and known.claimed_until is None
    if not free and bytes(known.request_hash) != request.sha256:
        raise IdempotencyConflict(request.key, _differences(known, request))
    if not free and known.reach != request.reach:
        raise AnswerOutOfReach(request.key)
    if known.folded_at is not None:
        raise AnswerNotKept(known.status)
    if known.status is not None:
        return Answer(known.status, known.answer)
    if not free and known.claimed_until > now:
        return None
    if not session.scalar(_TAKE_OVER, asked):
        return None
    return replace(new, operation_key=known.operation_key)


def _new_lease(request: Request) -> tuple[RequestLease, datetime]:
    """Return a lease that begins now, and the time."""
    now = clock.now()
    return RequestLease(request.caller, request.key, now + timedelta(seconds=LEASE_SECONDS)), now


def _differences(known: Row[Any], request: Request) -> dict[str, tuple[object, object]]:
    if known.request != request.asked:
        return {"request": (known.request, request.asked)}
    return {"sha256": (bytes(known.request_hash).hex(), request.sha256.hex())}


_FINISH = text("""
UPDATE api_requests
   SET status = :status, finished_at = :now, claimed_until = NULL,
       answer = CASE WHEN folded_at IS NULL THEN :answer ELSE '{}' END
 WHERE caller = :caller AND idempotency_key = :key AND status IS NULL AND claimed_until = :until
RETURNING 1
""")


def finish(session: Session, held: RequestLease, answer: Answer) -> None:
    """Store the final answer, preferably in the transaction of the effect.

    If retention came by during the work, the answer is sent and not kept: it never comes again.

    Raises `LeaseLost`, which rolls that transaction back.
    """
    values = {**_identity(held), "status": answer.status, "answer": answer.text, "now": clock.now()}
    if not session.scalar(_FINISH, values):
        raise LeaseLost(held.key)


_RELEASE = text("""
UPDATE api_requests SET claimed_until = :now
 WHERE caller = :caller AND idempotency_key = :key AND status IS NULL AND claimed_until = :until
""")


def abandon(session: Session, held: RequestLease) -> None:
    """End the work without an answer: only the same request can be tried again."""
    session.execute(_RELEASE, {**_identity(held), "now": clock.now()})


def free(session: Session, held: RequestLease) -> None:
    """End the work that changed nothing: any request can use the key."""
    session.execute(_RELEASE, {**_identity(held), "now": None})


def _identity(held: RequestLease) -> dict[str, object]:
    return {"caller": held.caller, "key": held.key, "until": held.until}

"""Requests under an Idempotency-Key: who works on one now, and what it was answered.

The only writer of the table `api_requests`; `api/idempotency.py` asks. No row is ever deleted: a
key is good for one request for ever, as those of the ledger are. A row is in one of these states:

- claimed: `claimed_until` lies ahead. Somebody works on it.
- abandoned: `claimed_until` has passed without an answer. Its process died, or ended it without a
  final answer; something may have come of it, so that only the same request can be tried again.
- free: no `claimed_until`, no answer. It was refused and changed nothing: the key is like new.
- answered: for good.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.orm import Session

import clock
from billing.errors import IdempotencyConflict
from errors import TransientError

CLAIM_SECONDS = 60
"""Longer than any request takes; so long does a repeat wait for one whose process died."""


class ClaimLost(TransientError):
    """The claim was taken over by a repeat meanwhile: whatever was done under it must not stand."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the request under {key!r} was taken over by a repeat of it")
        self.key = key


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked, by whom, under which key."""

    caller: str
    key: str
    asked: str
    """Method and path."""
    sha256: bytes
    """Of method, path and body."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a request."""

    caller: str
    key: str
    until: datetime
    """When it ends; also what tells it from other claims of the same request."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered, for good."""

    status: int
    text: str


_INSERT = """
INSERT INTO api_requests
       (caller, idempotency_key, request, request_hash, claimed_until, created_at)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (caller, idempotency_key) DO NOTHING RETURNING 1
"""


def claim_new(cursor: DBAPICursor, request: Request) -> Claim | None:
    """Claim a request whose key was never used; None: it was, and `claim` tells for what.

    One statement, by `db.session.pooled_statement`: nearly every key is new.
    """
    mine, now = _claim(request)
    values = (request.caller, request.key, request.asked, request.sha256, mine.until, now)
    cursor.execute(_INSERT, values)
    return mine if cursor.fetchone() else None


_LOOK = text("""
SELECT request, request_hash, claimed_until, status, answer FROM api_requests
 WHERE caller = :caller AND idempotency_key = :key
""")
_TAKE_OVER = text("""
UPDATE api_requests SET request = :asked, request_hash = :sha256, claimed_until = :until
 WHERE caller = :caller AND idempotency_key = :key AND status IS NULL
   AND (claimed_until IS NULL OR claimed_until <= :now AND request_hash = :sha256) RETURNING 1
""")


def claim(session: Session, request: Request) -> Claim | Answer | None:
    """Claim a request; return its answer where there is one, None while another works on it.

    To be committed before the work begins. Raises `IdempotencyConflict` where the key stands for
    another request.
    """
    cursor = session.connection().connection.cursor()
    try:
        new = claim_new(cursor, request)
    finally:
        cursor.close()
    if new is not None:
        return new
    mine, now = _claim(request)
    asked = {
        "caller": request.caller, "key": request.key, "asked": request.asked,
        "sha256": request.sha256, "now": now, "until": mine.until,
    }  # fmt: skip
    known = session.execute(_LOOK, asked).one()
    free = known.status is None and known.claimed_until is None
    if not free and bytes(known.request_hash) != request.sha256:
        raise IdempotencyConflict(request.key, _differences(known, request))
    if known.status is not None:
        return Answer(known.status, known.answer)
    if not free and known.claimed_until > now:
        return None
    return mine if session.scalar(_TAKE_OVER, asked) else None


def _claim(request: Request) -> tuple[Claim, datetime]:
    """Return a claim of a request from now on, and now."""
    now = clock.now()
    return Claim(request.caller, request.key, now + timedelta(seconds=CLAIM_SECONDS)), now


def _differences(known: Row[Any], request: Request) -> dict[str, tuple[object, object]]:
    if known.request != request.asked:
        return {"request": (known.request, request.asked)}
    return {"sha256": (bytes(known.request_hash).hex(), request.sha256.hex())}


_FINISH = text("""
UPDATE api_requests
   SET status = :status, answer = :answer, finished_at = :now, claimed_until = NULL
 WHERE caller = :caller AND idempotency_key = :key AND status IS NULL AND claimed_until = :until
RETURNING 1
""")


def finish(session: Session, mine: Claim, answer: Answer) -> None:
    """Store the answer for good, best in the transaction of the effect.

    Raises `ClaimLost`, which rolls that transaction back.
    """
    values = {**_identity(mine), "status": answer.status, "answer": answer.text, "now": clock.now()}
    if not session.scalar(_FINISH, values):
        raise ClaimLost(mine.key)


_RELEASE = text("""
UPDATE api_requests SET claimed_until = :now
 WHERE caller = :caller AND idempotency_key = :key AND status IS NULL AND claimed_until = :until
""")


def abandon(session: Session, mine: Claim) -> None:
    """End the work without an answer: the same request, and no other, can be tried again."""
    session.execute(_RELEASE, {**_identity(mine), "now": clock.now()})


def free(session: Session, mine: Claim) -> None:
    """End the work, which came to nothing: any request can be tried under this key."""
    session.execute(_RELEASE, {**_identity(mine), "now": None})


def _identity(mine: Claim) -> dict[str, object]:
    return {"caller": mine.caller, "key": mine.key, "until": mine.until}

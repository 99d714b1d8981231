"""The SQL of holds: each step is one statement with its events and the account's held credit.

Called by `billing/credit/holds.py` and `billing/credit/hold_expiry.py` alone, with the account
locked.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, TextClause, select, text
from sqlalchemy.orm import Session
from sqlalchemy.orm.util import identity_key

from billing.ledger import Kind
from db.bulk import int_array
from db.models import Account, Hold
from service import request_ids

_PLACE = text("""
WITH placed AS (
    INSERT INTO holds (account_id, amount, state, idempotency_key, kind, actor, description,
                       created_at, expires_at, request_id)
    VALUES (:account, :amount, 'open', :key, :kind, :actor, :description, :now, :expires_at,
            :request_id)
    ON CONFLICT (idempotency_key) DO NOTHING RETURNING *
), noted AS (
    INSERT INTO hold_events (hold_id, event, amount, actor, created_at, request_id)
    SELECT id, 'placed', amount, actor, created_at, request_id FROM placed
), kept AS (
    UPDATE accounts a SET held = a.held + p.amount FROM placed p WHERE a.id = p.account_id
)
SELECT * FROM placed
""")


def place(
    session: Session,
    *,
    account_id: int,
    amount: int,
    idempotency_key: str,
    kind: Kind,
    actor: str,
    description: str,
    now: datetime,
    expires_at: datetime | None,
) -> Hold | None:
    """Write a new open hold; None if its key is taken, on whatever account."""
    values = {
        "account": account_id,
        "amount": amount,
        "key": idempotency_key,
        "kind": kind.value,
        "actor": actor,
        "description": description,
        "now": now,
        "expires_at": expires_at,
        "request_id": request_ids.current(),
    }
    return _hold_of(session, _PLACE, values)


def of_key(session: Session, idempotency_key: str) -> Hold | None:
    """Return the hold that was placed under a key, or None."""
    query = select(Hold).where(Hold.idempotency_key == idempotency_key)
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def lock(session: Session, hold_id: int) -> Hold:
    """Lock a hold whose account is already locked, and return it as it is now."""
    return session.get_one(Hold, hold_id, with_for_update=True, populate_existing=True)


_CAPTURED = text("""
WITH ended AS (
    UPDATE holds SET state = 'captured', captured = :captured, transaction_id = :transaction,
           finish_key = :key, finished_at = :now
     WHERE id = :hold RETURNING *
), noted AS (
    INSERT INTO hold_events (hold_id, event, amount, actor, created_at, request_id)
    SELECT e.id, s.event, s.amount, :actor, :now, :request_id
      FROM ended e,
           LATERAL (VALUES (1, 'captured', e.captured), (2, 'released', e.amount - e.captured))
             AS s(step, event, amount)
     WHERE s.amount > 0 ORDER BY s.step
)
SELECT * FROM ended
""")


def end_captured(
    session: Session,
    hold_id: int,
    *,
    captured: int,
    transaction_id: int,
    finish_key: str,
    actor: str,
    now: datetime,
) -> Hold:
    """Write that a hold was captured; the charge's posting has released what it held."""
    values = {
        "hold": hold_id,
        "captured": captured,
        "transaction": transaction_id,
        "key": finish_key,
        "actor": actor,
        "now": now,
        "request_id": request_ids.current(),
    }
    return _ended(session, _CAPTURED, values)


_VOIDED = text("""
WITH ended AS (
    UPDATE holds SET state = 'voided', finish_key = :key, finished_at = :now
     WHERE id = :hold RETURNING *
), noted AS (
    INSERT INTO hold_events (hold_id, event, amount, actor, created_at, request_id)
    SELECT id, 'voided', amount, :actor, :now, :request_id FROM ended
), freed AS (
    UPDATE accounts a SET held = a.held - e.amount FROM ended e
     WHERE a.id = e.account_id AND :frees
)
SELECT * FROM ended
""")


def end_voided(
    session: Session, hold: Hold, *, frees: bool, finish_key: str, actor: str, now: datetime
) -> Hold:
    """Write that a hold was voided. Unless it `frees` its credit, a posting must release it."""
    values = {
        "hold": hold.id,
        "key": finish_key,
        "actor": actor,
        "now": now,
        "frees": frees,
        "request_id": request_ids.current(),
    }
    return _ended(session, _VOIDED, values)


_DUE = text("""
SELECT id FROM accounts
 WHERE id IN (SELECT account_id FROM holds WHERE state = 'open' AND expires_at <= :now)
 ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
""")
_EXPIRE = text("""
WITH ended AS (
    UPDATE holds SET state = 'expired', finished_at = :now
     WHERE state = 'open' AND expires_at <= :now
       AND account_id = ANY(CAST(:accounts AS bigint[]))
    RETURNING id, account_id, amount, expires_at, request_id
), noted AS (
    INSERT INTO hold_events (hold_id, event, amount, actor, created_at, request_id)
    SELECT id, 'expired', amount, :actor, :now, request_id FROM ended
), freed AS (
    UPDATE accounts a SET held = a.held - e.total
      FROM (SELECT account_id, sum(amount) AS total FROM ended GROUP BY 1) e
     WHERE a.id = e.account_id
)
SELECT e.id, a.ref, e.amount, e.expires_at, e.request_id
  FROM ended e JOIN accounts a ON a.id = e.account_id
""")


def end_due(
    session: Session, *, actor: str, now: datetime, limit: int
) -> Sequence[Row[int, str, int, datetime, str | None]]:
    """End the open holds past their time on up to `limit` accounts that nobody has locked.

    Returns (id, account's reference, amount, when it expired, request id) of each.
    """
    due = session.scalars(_DUE, {"now": now, "limit": limit}).all()
    return _end_of(session, due, actor=actor, now=now)


# If none is due, this locks nothing and reads little.
_DUE_OF = text("""
SELECT id FROM accounts a
 WHERE ref = :account AND EXISTS (SELECT 1 FROM holds h WHERE h.account_id = a.id
                                     AND h.state = 'open' AND h.expires_at <= :now)
   FOR NO KEY UPDATE
""")


def end_due_of(
    session: Session, account: str, *, actor: str, now: datetime
) -> Sequence[Row[int, str, int, datetime, str | None]]:
    """End the open holds of one account past their time, as `end_due` does; lock the account."""
    due = session.scalars(_DUE_OF, {"account": account, "now": now}).all()
    return _end_of(session, due, actor=actor, now=now) if due else []


def _end_of(
    session: Session, account_ids: Sequence[int], *, actor: str, now: datetime
) -> Sequence[Row[int, str, int, datetime, str | None]]:
    values = {"now": now, "accounts": int_array(account_ids), "actor": actor}
    return session.execute(_EXPIRE, values).all()


def _ended(session: Session, statement: TextClause, values: dict[str, Any]) -> Hold:
    hold = _hold_of(session, statement, values)
    assert hold is not None  # its row is locked, and none is ever deleted
    return hold


def _hold_of(session: Session, statement: TextClause, values: dict[str, Any]) -> Hold | None:
    hold = session.scalars(
        select(Hold).from_statement(statement).execution_options(populate_existing=True), values
    ).one_or_none()
    if hold is not None:
        # The statement wrote past the session: an account that the caller loaded is stale.
        account = session.identity_map.get(identity_key(Account, hold.account_id))
        if account is not None:
            session.expire(account, ["held"])
    return hold

"""Activity since a mark: the outbox, and the ledger rows that the calendar wrote.

Used by `billing clock watch`. It changes nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from billing import accounts
from billing.errors import UnknownAccount
from billing.ledger import Kind

CALENDAR_KINDS = [Kind.GRANT.value, Kind.EXPIRY.value]
"""The kinds of ledger rows that only the passing of time brings."""
_LOOK_BACK = 1_000
"""Ids are assigned before the commit, so a row can become visible after rows with higher ids."""


@dataclass(frozen=True, slots=True)
class Activity:
    """One row of the outbox (`what` is its topic) or of the ledger (`ledger.` and its kind)."""

    at: datetime
    what: str
    subject: str
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Totals:
    """All activity since the watch began."""

    topics: dict[str, int]
    """Topic -> number of outbox rows, sorted by topic."""
    credits_granted: int
    credits_expired: int


@dataclass(slots=True)
class _Mark:
    """How far a table was read."""

    first: int
    """The newest id when the watch began."""
    skipped_to: int
    shown: set[int] = field(default_factory=set)

    def after(self) -> int:
        return max([self.skipped_to, *([max(self.shown) - _LOOK_BACK] if self.shown else [])])


@dataclass(frozen=True, slots=True)
class Watch:
    """The marks of a watch on one account, or on all."""

    account_id: int | None
    events: _Mark
    transactions: _Mark


_NEWEST = text("""
SELECT (SELECT coalesce(max(id), 0) FROM outbox_events),
       (SELECT coalesce(max(id), 0) FROM credit_transactions)
""")
_EVENTS = text("""
SELECT id, created_at, topic, subject, payload
  FROM outbox_events
 WHERE id > :after AND id <> ALL(:shown)
   AND (CAST(:account_id AS bigint) IS NULL OR account_id = :account_id)
 ORDER BY id LIMIT :limit
""")
_TRANSACTIONS = text("""
SELECT t.id, t.created_at, 'ledger.' || t.kind, 'account:' || a.ref,
       jsonb_build_object('amount', t.amount, 'balance', t.balance_after)
  FROM credit_transactions t JOIN accounts a ON a.id = t.account_id
 WHERE t.id > :after AND t.id <> ALL(:shown) AND t.kind = ANY(:kinds)
   AND (CAST(:account_id AS bigint) IS NULL OR t.account_id = :account_id)
 ORDER BY t.id LIMIT :limit
""")


def start_watch(session: Session, *, account: str | None) -> Watch:
    """Start a watch after all that exists now. Raises `UnknownAccount`."""
    known = accounts.find(session, account) if account is not None else None
    if account is not None and known is None:
        raise UnknownAccount(account)
    event, transaction = session.execute(_NEWEST).one()
    return Watch(known.id if known else None, _Mark(event, event), _Mark(transaction, transaction))


def read_new(session: Session, watch: Watch, *, limit: int) -> list[Activity]:
    """Return the activity since the last call in order of time, each row once.

    Up to `limit` rows of each table; the next call returns the rest, unless `skip_to_end` skips it.
    """
    found = [
        *_read(session, _EVENTS, watch, watch.events, limit),
        *_read(session, _TRANSACTIONS, watch, watch.transactions, limit),
    ]
    return sorted(found, key=lambda activity: activity.at)


def skip_to_end(session: Session, watch: Watch) -> None:
    """Skip all that exists now, whether it was read or not."""
    watch.events.skipped_to, watch.transactions.skipped_to = session.execute(_NEWEST).one()


def _read(
    session: Session, query: TextClause, watch: Watch, mark: _Mark, limit: int
) -> list[Activity]:
    values = {
        "after": mark.after(),
        "shown": list(mark.shown),
        "limit": limit,
        "account_id": watch.account_id,
        "kinds": CALENDAR_KINDS,
    }
    wanted = {name: values[name] for name in query.compile().params}
    rows = session.execute(query, wanted).all()
    mark.shown.update(row[0] for row in rows)
    mark.shown = {identity for identity in mark.shown if identity > mark.after()}
    return [Activity(*row[1:]) for row in rows]


_TOPICS = text("""
SELECT topic, count(*) FROM outbox_events
 WHERE id > :first AND (CAST(:account_id AS bigint) IS NULL OR account_id = :account_id)
 GROUP BY topic ORDER BY topic
""")
_CREDIT = text("""
SELECT kind, abs(sum(amount)) FROM credit_transactions
 WHERE id > :first AND kind = ANY(:kinds)
   AND (CAST(:account_id AS bigint) IS NULL OR account_id = :account_id)
 GROUP BY kind
""")


def totals(session: Session, watch: Watch) -> Totals:
    """Return the totals since the watch began, whether read or not."""
    of_account = {"account_id": watch.account_id}
    topics = session.execute(_TOPICS, {"first": watch.events.first, **of_account})
    credit = session.execute(
        _CREDIT, {"first": watch.transactions.first, "kinds": CALENDAR_KINDS, **of_account}
    )
    moved = {kind: int(amount) for kind, amount in credit}
    return Totals(
        topics={topic: count for topic, count in topics},  # noqa: C416 - rows are not pairs to mypy
        credits_granted=moved.get(Kind.GRANT, 0),
        credits_expired=moved.get(Kind.EXPIRY, 0),
    )

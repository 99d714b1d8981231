"""What has happened since a mark: the outbox, and what the calendar wrote into the ledger.

For whoever watches time pass (`billing clock watch`). It reads and changes nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from billing.accounts import find
from billing.errors import UnknownAccount
from billing.ledger import Kind

CALENDAR_KINDS = [Kind.GRANT.value, Kind.EXPIRY.value]
"""The ledger rows that nobody asks for: the time alone brings them."""
_LOOK_BACK = 1_000
"""Ids are given before a commit: a row may come to light behind later ones."""


@dataclass(frozen=True, slots=True)
class Activity:
    """One row of the outbox (`what` is its topic) or of the ledger (`ledger.` and its kind)."""

    at: datetime
    what: str
    subject: str
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Totals:
    """What has happened in all."""

    topics: dict[str, int]
    """Topic -> how many rows of the outbox, by topic."""
    credits_granted: int
    credits_expired: int


@dataclass(slots=True)
class _Place:
    """How far a table was read."""

    first: int
    """The newest id when the watch began."""
    skipped_to: int
    shown: set[int] = field(default_factory=set)

    def after(self) -> int:
        return max([self.skipped_to, *([max(self.shown) - _LOOK_BACK] if self.shown else [])])


@dataclass(frozen=True, slots=True)
class Watch:
    """Where somebody began to watch, and what was shown already; of one account, or of all."""

    account_id: int | None
    events: _Place
    transactions: _Place


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
    """Begin to watch, behind what is there now. Raises `UnknownAccount`."""
    known = find(session, account) if account is not None else None
    if account is not None and known is None:
        raise UnknownAccount(account)
    event, transaction = session.execute(_NEWEST).one()
    return Watch(
        known.id if known else None, _Place(event, event), _Place(transaction, transaction)
    )


def read_new(session: Session, watch: Watch, *, limit: int) -> list[Activity]:
    """Return what came since the last look, in its order, each row once.

    Of each table up to `limit` rows; the rest comes with the next look, or never after `skip`.
    """
    found = [
        *_read(session, _EVENTS, watch, watch.events, limit),
        *_read(session, _TRANSACTIONS, watch, watch.transactions, limit),
    ]
    return sorted(found, key=lambda happening: happening.at)


def skip_to_end(session: Session, watch: Watch) -> None:
    """Go on behind what is there now, shown or not."""
    watch.events.skipped_to, watch.transactions.skipped_to = session.execute(_NEWEST).one()


def _read(
    session: Session, query: TextClause, watch: Watch, place: _Place, limit: int
) -> list[Activity]:
    values = {
        "after": place.after(), "shown": list(place.shown), "limit": limit,
        "account_id": watch.account_id, "kinds": CALENDAR_KINDS,
    }  # fmt: skip
    wanted = {name: values[name] for name in query.compile().params}
    rows = session.execute(query, wanted).all()
    place.shown.update(row[0] for row in rows)
    place.shown = {identity for identity in place.shown if identity > place.after()}
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
    """Return what has happened since the watch began, shown or not."""
    of_account = {"account_id": watch.account_id}
    topics = session.execute(_TOPICS, {"first": watch.events.first, **of_account})
    credit = session.execute(
        _CREDIT, {"first": watch.transactions.first, "kinds": CALENDAR_KINDS, **of_account}
    )
    moved = {kind: int(amount) for kind, amount in credit}
    return Totals(
        topics={topic: count for topic, count in topics},  # noqa: C416 - rows are no pairs to mypy
        credits_granted=moved.get(Kind.GRANT, 0),
        credits_expired=moved.get(Kind.EXPIRY, 0),
    )

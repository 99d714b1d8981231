"""One person's data is erased: found, counted, blanked, with an entry in the audit log.

Called by `billing privacy erase`. A row is a person's if one of its columns of text names the
person (`billing/privacy/identity.py`); then its columns with a `blank` (`db/personal_data.py`) are
blanked. What identifies the row stays, so that a repeat is recognised; so do amounts, times and
states. A row that is still worked on is left, and counted.

Finding reads every row that was not blanked yet, as `billing ledger verify` reads the ledger:
nothing in the database is indexed by a person, on purpose. Retention keeps that small.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    Boolean,
    ColumnElement,
    LargeBinary,
    Table,
    Text,
    literal_column,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.orm import Session

import clock
from billing import audit
from billing.privacy.errors import ReasonNamesPerson
from billing.privacy.identity import Identity, Matcher
from db.models.base import Base
from db.personal_data import NOT_PERSONAL, PERSONAL

ACTION = "privacy.erased"
_ROWS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class _Rules:
    """When a row may be blanked, and which column says that it was."""

    waits: str
    """The SQL of a row that is still worked on: somebody needs what it says."""
    mark: str | None = None
    only: str = "true"
    """The SQL of a row that has something to blank."""
    owner: str = "NULL"
    """The SQL of the account whose row it is, by reference: it is erased with the account's."""


_RULES: Mapping[str, _Rules] = {
    "inbound_events": _Rules("state IN ('pending', 'dead')", "blanked_at"),
    "api_requests": _Rules("false", "folded_at", only="answer IS NOT NULL"),
    "billing_orders": _Rules("state IN ('requested', 'unknown', 'open')"),
    "billing_refunds": _Rules("state IN ('requested', 'submitted', 'unknown')"),
    "lead_disputes": _Rules("state = 'pending'"),
    # Without its address it is no contact any more, and what is due to it is not sent.
    "notice_contacts": _Rules(
        "false",
        only="address IS NOT NULL",
        owner="(SELECT ref FROM accounts WHERE accounts.id = notice_contacts.account_id)",
    ),
}
TABLES = tuple(_RULES)
"""The tables with a column to blank."""
_DEAD_TOO = _Rules("state = 'pending'", "blanked_at")


@dataclass(frozen=True, slots=True)
class Found:
    """The rows of a person in one table."""

    table: str
    keys: Sequence[tuple[Any, ...]]
    """Of the rows that can be blanked."""
    waiting: Sequence[tuple[Any, ...]]
    """Of the rows that are still worked on."""

    @property
    def columns(self) -> list[str]:
        """The columns that are blanked."""
        return [name for name, rule in PERSONAL[self.table].items() if rule.blank is not None]


@dataclass(frozen=True, slots=True)
class Erased:
    """What was done: the subject of its entry in the audit log, and the rows blanked by table."""

    subject: str
    rows: Mapping[str, int] = field(default_factory=dict)


def find(session: Session, identity: Identity, *, dead_too: bool = False) -> list[Found]:
    """Return a person's rows by table; changes nothing. Use a `snapshot()`: it reads for long.

    A dead row of the inbox counts as worked on, because it can be replayed, unless `dead_too`.
    Raises `InvalidIdentity`.
    """
    matcher = Matcher(identity, more_ids=_ids_of_payments(session, identity))
    return [_find_in(session, table, matcher, dead_too=dead_too) for table in TABLES]


def erase(
    session: Session,
    identity: Identity,
    found: Sequence[Found],
    *,
    reason: str,
    dead_too: bool = False,
) -> Erased:
    """Blank the rows that `find` found, and record it, in the caller's transaction as the owner.

    A row that somebody works on again since then is left. The entry in the audit log holds counts,
    by what kind of value the person was known, and `reason`: nothing of the person. Raises
    `ReasonNamesPerson`.
    """
    check_reason(identity, reason)
    rows = {one.table: _blank(session, one, dead_too=dead_too) for one in found}
    erased = Erased(f"erasure:{uuid4()}", {name: number for name, number in rows.items() if number})
    audit.record(
        session,
        ACTION,
        erased.subject,
        before=None,
        after={"known_by": identity.kinds(), "rows": dict(erased.rows), "reason": reason},
    )
    return erased


def check_reason(identity: Identity, reason: str) -> None:
    """Raise `ReasonNamesPerson` if the reason, which is kept, names the person."""
    if Matcher(identity).names(reason):
        raise ReasonNamesPerson


def kept_columns() -> Iterator[tuple[str, str, str]]:
    """Yield what is never erased: column, what it may hold, and why it stays."""
    for table, columns in PERSONAL.items():
        for name, rule in columns.items():
            if rule.kept is not None:
                yield f"{table}.{name}", rule.holds, rule.kept


# What a gateway writes about a payment or an order names it by these.
_IDS = text("""
WITH mine AS (
    SELECT p.id, p.gateway_payment_id FROM billing_payments p
      LEFT JOIN accounts a ON a.id = p.account_id
     WHERE p.gateway_payment_id = ANY(:payments) OR a.ref = ANY(:accounts)
)
SELECT gateway_payment_id FROM mine
UNION SELECT unnest(ARRAY[gateway_refund_id, receipt]) FROM billing_refunds r
        JOIN mine ON mine.id = r.payment_id
UNION SELECT gateway_dispute_id FROM billing_chargebacks c JOIN mine ON mine.id = c.payment_id
UNION SELECT unnest(ARRAY[receipt, gateway_order_id]) FROM billing_orders o
        JOIN accounts a ON a.id = o.account_id WHERE a.ref = ANY(:accounts)
UNION SELECT lead_id FROM lead_charges l
        JOIN accounts a ON a.id = l.account_id WHERE a.ref = ANY(:accounts)
""")


def _ids_of_payments(session: Session, identity: Identity) -> tuple[str, ...]:
    if not (identity.payments or identity.accounts):
        return ()
    asked = {"payments": list(identity.payments), "accounts": list(identity.accounts)}
    return tuple(id_ for id_ in session.scalars(_IDS, asked) if id_)


def _find_in(session: Session, name: str, matcher: Matcher, *, dead_too: bool) -> Found:
    table = Base.metadata.tables[name]
    keys: list[tuple[Any, ...]] = []
    waiting: list[tuple[Any, ...]] = []
    for row in _rows(session, table, _rules(name, dead_too=dead_too)):
        key, waits, *values = row
        if matcher.names_in(values):
            (waiting if waits else keys).append(tuple(key))
    return Found(name, keys, waiting)


def _rows(
    session: Session, table: Table, rules: _Rules
) -> Iterator[tuple[Sequence[Any], bool, Any]]:
    """Yield each row that was not blanked: its key, whether it is worked on, its texts."""
    key = list(table.primary_key.columns)
    named = [c for c in table.columns if c.name in PERSONAL[table.name]]
    named += [
        c
        for c in table.columns
        if c.name in NOT_PERSONAL[table.name] and not isinstance(c.type, LargeBinary)
    ]
    owner = literal_column(rules.owner, Text)
    query = select(*key, _sql(rules.waits), *named, owner).where(_sql(rules.only))
    query = query.order_by(*key).limit(_ROWS_AT_ONCE)
    if rules.mark is not None:
        query = query.where(table.c[rules.mark].is_(None))
    last: Sequence[Any] | None = None
    while True:
        page = query if last is None else query.where(tuple_(*key) > tuple(last[: len(key)]))
        found = session.execute(page).all()
        for row in found:
            yield row[: len(key)], *row[len(key) :]
        if len(found) < _ROWS_AT_ONCE:
            return
        last = found[-1]


def _blank(session: Session, found: Found, *, dead_too: bool) -> int:
    table = Base.metadata.tables[found.table]
    rules = _rules(found.table, dead_too=dead_too)
    values: dict[str, Any] = {
        name: literal_column(str(PERSONAL[found.table][name].blank)) for name in found.columns
    }
    if rules.mark is not None:
        values[rules.mark] = clock.now()
    key = tuple_(*table.primary_key.columns)
    done = 0
    for start in range(0, len(found.keys), _ROWS_AT_ONCE):
        some = found.keys[start : start + _ROWS_AT_ONCE]
        still = (key.in_(some), _sql(rules.only), ~_sql(rules.waits))
        done += session.execute(update(table).where(*still).values(values)).rowcount  # type: ignore[attr-defined]
    return done


def _rules(table: str, *, dead_too: bool) -> _Rules:
    return _DEAD_TOO if dead_too and table == "inbound_events" else _RULES[table]


def _sql(condition: str) -> ColumnElement[bool]:
    return literal_column(f"({condition})", Boolean)

"""Reading the ledger: transactions of an account, its balance at any time, statements.

Each row has two times: when it happened (`event_at`) and when it was written (`created_at`). A
balance by written time is what the books said then. By event time it is what they would have said
if every event had been written at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Select, func, literal, select, text
from sqlalchemy.orm import Session

from billing import accounts
from billing.errors import UnknownAccount
from db.bulk import int_array
from db.models import Account, CreditTransaction
from db.pages import COUNTED
from errors import InvalidField, PermanentError

PAGE = 20

TimeKind = Literal["written", "event"]

_LARGEST = 2**63 - 1


class InvalidReading(InvalidField):
    """A field of a request to read the ledger is invalid."""


class UnreadableRow(PermanentError):
    """A row of the account has an impossible time, which only tampering can write."""

    def __init__(self, account: str) -> None:
        super().__init__(
            f"account {account!r} has a row with an impossible time:"
            " run `billing ledger verify` to find it"
        )
        self.account = account


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows of an account to list; None: all.

    `since` (inclusive) and `until` (exclusive) bound `event_at`.
    """

    kind: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    lead_id: str | None = None
    payment_id: str | None = None


@dataclass(frozen=True, slots=True)
class KindTotal:
    """The rows and credits of one kind in a period."""

    kind: str
    rows: int
    amount: int


@dataclass(frozen=True, slots=True)
class Statement:
    """An account's period by written time: opening + the totals = closing."""

    account: str
    start: datetime
    end: datetime
    opening: int
    totals: list[KindTotal]
    closing: int


@dataclass(frozen=True, slots=True)
class Outstanding:
    """The unspent credits of the customers of a product."""

    product: str
    paid: int
    """Bought."""
    promotional: int
    """Bonus, grants and goodwill."""
    held: int
    debt: int
    """Owed by customers."""


def list_transactions(
    session: Session,
    ref: str,
    *,
    wanted: Filter | None = None,
    before_version: int | None = None,
    limit: int = PAGE,
) -> Sequence[CreditTransaction]:
    """Return a page of an account's rows, newest first.

    The next page starts before the last version of this one, so that new rows shift no page.
    Raises `UnknownAccount`, `InvalidReading` or `UnreadableRow`.
    """
    _check_number("limit", limit)
    if before_version is not None:
        _check_number("before_version", before_version)
    if wanted is not None:
        _check_instants(since=wanted.since, until=wanted.until)
    account = _account(session, ref)
    query = select(CreditTransaction).where(CreditTransaction.account_id == account.id)
    if before_version is not None:
        query = query.where(CreditTransaction.version < before_version)
    query = _matching(query, wanted or Filter())
    query = query.order_by(CreditTransaction.version.desc()).limit(limit)
    try:
        return session.scalars(query).all()
    except ValueError as error:  # the driver's, of a year beyond Python's
        raise UnreadableRow(ref) from error


def count_older(session: Session, ref: str, *, wanted: Filter, before_version: int) -> int:
    """Return how many rows the pages after this one have, up to `COUNTED` + 1."""
    older = select(CreditTransaction).where(
        CreditTransaction.account_id == _account(session, ref).id,
        CreditTransaction.version < before_version,
    )
    older = _matching(older, wanted).order_by(CreditTransaction.version.desc())
    counted = (
        older.with_only_columns(literal(1), maintain_column_froms=True)
        .limit(COUNTED + 1)
        .subquery()
    )
    return session.scalar(select(func.count()).select_from(counted)) or 0


_KEYS = text("""
SELECT id, idempotency_key FROM credit_transactions WHERE id = ANY(CAST(:ids AS bigint[]))
""")


def reversed_keys(session: Session, rows: Sequence[CreditTransaction]) -> dict[int, str]:
    """Return the idempotency keys of the charges that `rows` reverse, by the charges' ids."""
    ids = {row.reverses_id for row in rows if row.reverses_id is not None}
    found = session.execute(_KEYS, {"ids": int_array(ids)}) if ids else ()
    return {id_: key for id_, key in found}  # noqa: C416 - rows are not pairs to dict()


def balance_at(session: Session, ref: str, at: datetime, *, by: TimeKind = "written") -> int:
    """Return the balance as of `at`, including rows of that very instant.

    Raises `UnknownAccount` or `InvalidReading`.
    """
    _check_instants(at=at)
    account = _account(session, ref)
    rows = CreditTransaction.account_id == account.id
    if by == "event":
        total = select(func.coalesce(func.sum(CreditTransaction.amount), 0)).where(
            rows, CreditTransaction.event_at <= at
        )
        return int(session.scalar(total) or 0)
    last = (
        select(CreditTransaction.balance_after)
        .where(rows, CreditTransaction.created_at <= at)
        .order_by(CreditTransaction.version.desc())
        .limit(1)
    )
    return session.scalar(last) or 0


_OPENING = text("""
SELECT balance_after FROM credit_transactions WHERE account_id = :account AND created_at < :start
 ORDER BY version DESC LIMIT 1
""")
_TOTALS = text("""
SELECT kind, count(*) AS rows, sum(amount)::bigint AS amount FROM credit_transactions
 WHERE account_id = :account AND created_at >= :start AND created_at < :end
 GROUP BY kind ORDER BY kind
""")


def statement(session: Session, ref: str, *, start: datetime, end: datetime) -> Statement:
    """Return what was written from `start` to `end` (exclusive).

    Raises `UnknownAccount` or `InvalidReading`.
    """
    _check_instants(start=start, end=end)
    account = _account(session, ref)
    parameters = {"account": account.id, "start": start, "end": end}
    opening = session.scalar(_OPENING, parameters) or 0
    totals = [KindTotal(*row) for row in session.execute(_TOTALS, parameters)]
    closing = opening + sum(total.amount for total in totals)
    return Statement(ref, start, end, opening, totals, closing)


_OUTSTANDING = text("""
SELECT a.product,
       coalesce(sum(l.paid), 0)::bigint, coalesce(sum(l.promotional), 0)::bigint,
       sum(a.held)::bigint, sum(greatest(-a.balance, 0))::bigint
  FROM accounts a
  LEFT JOIN (SELECT account_id,
                    sum(remaining) FILTER (WHERE source = 'purchase') AS paid,
                    sum(remaining) FILTER (WHERE source <> 'purchase') AS promotional
               FROM credit_lots WHERE exhausted_at IS NULL GROUP BY account_id) l
    ON l.account_id = a.id
 GROUP BY a.product ORDER BY a.product
""")


def outstanding(session: Session) -> list[Outstanding]:
    """Return the outstanding credit by product, paid and promotional."""
    return [Outstanding(*row) for row in session.execute(_OUTSTANDING)]


def _account(session: Session, ref: str) -> Account:
    account = accounts.find(session, ref)
    if account is None:
        raise UnknownAccount(ref)
    return account


def _check_number(field: str, value: int) -> None:
    if type(value) is not int or not 1 <= value <= _LARGEST:
        raise InvalidReading(field, "must be a whole number from 1")


def _check_instants(**instants: datetime | None) -> None:
    for field, moment in instants.items():
        if moment is not None and moment.tzinfo is None:
            raise InvalidReading(field, "must be a time with a zone")


def _matching(query: Select[CreditTransaction], wanted: Filter) -> Select[CreditTransaction]:
    conditions = {
        CreditTransaction.kind: wanted.kind,
        CreditTransaction.lead_id: wanted.lead_id,
        CreditTransaction.payment_id: wanted.payment_id,
    }
    for column, value in conditions.items():
        if value is not None:
            query = query.where(column == value)
    if wanted.since is not None:
        query = query.where(CreditTransaction.event_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(CreditTransaction.event_at < wanted.until)
    return query

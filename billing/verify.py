"""`ledger verify`: does every invariant hold, on one picture of the database.

Two parts: the set-wise checks of `billing/invariants.py`; and a walk over every
ledger row in each account's order, which recomputes balance, version and hash.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from billing.hash_chain import first_hash, row_hash
from billing.invariants import SET_CHECKS

_CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class Breach:
    """An invariant that does not hold, and where."""

    invariant: str
    account: str
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification saw."""

    accounts: int
    transactions: int
    breaches: list[Breach]


def verify(session: Session, on_progress: Callable[[int], None] = lambda _: None) -> Report:
    """Check everything; `session` should be a `db.session.snapshot()`.

    `on_progress` is told the number of ledger rows walked so far. Memory does not grow with the
    number of rows; an account whose chain breaks is reported once, at its first broken row.
    """
    breaches = [
        Breach(invariant, row.account, row.detail)
        for invariant, query in SET_CHECKS
        for row in session.execute(text(query))
    ]
    walked = 0
    for breach in _walk(session):
        if isinstance(breach, int):
            walked = breach
            on_progress(walked)
        else:
            breaches.append(breach)
    accounts = session.scalar(text("SELECT count(*) FROM accounts")) or 0
    return Report(accounts, walked, breaches)


def count_transactions(session: Session) -> int:
    """Return the number of ledger rows, for a progress bar."""
    return session.scalar(text("SELECT count(*) FROM credit_transactions")) or 0


_ROWS = text("""
SELECT a.ref, a.balance, a.version AS last_version, a.head_hash, t.version, t.amount,
       t.balance_after, t.kind, t.idempotency_key, t.request_hash, t.lead_id, t.payment_id,
       t.dispute_id, t.actor, t.description, t.event_at, t.created_at, t.row_hash, t.id
  FROM credit_transactions t JOIN accounts a ON a.id = t.account_id
 ORDER BY t.account_id, t.version
""")


@dataclass(slots=True)
class _Chain:
    """How far an account's chain has been followed."""

    ref: str
    head: bytes
    version: int = 0
    balance: int = 0
    broken: bool = False


def _walk(session: Session) -> Iterator[Breach | int]:
    rows = session.execute(_ROWS, execution_options={"yield_per": _CHUNK})
    chain = _Chain("", b"")
    last = None
    for count, row in enumerate(rows, start=1):
        if row.ref != chain.ref:
            if last is not None:
                yield from _end(chain, last)
            chain = _Chain(row.ref, first_hash(row.ref))
        if not chain.broken:
            for breach in _follow(chain, row):
                chain.broken = True
                yield breach
        last = row
        if count % _CHUNK == 0:
            yield count
    if last is not None:
        yield from _end(chain, last)
        yield count


def _follow(chain: _Chain, row: Row[Any]) -> Iterator[Breach]:
    chain.version += 1
    chain.balance += row.amount
    where = f"transaction {row.id}, version {row.version}"
    if row.version != chain.version:
        yield Breach("versions have no gap", chain.ref, f"{where}: expected {chain.version}")
        return
    if row.balance_after != chain.balance:
        yield Breach(
            "balance_after is the running sum",
            chain.ref,
            f"{where}: {row.balance_after}, the sum is {chain.balance}",
        )
        return
    chain.head = row_hash(
        chain.head,
        version=row.version,
        amount=row.amount,
        balance_after=row.balance_after,
        kind=row.kind,
        idempotency_key=row.idempotency_key,
        request_hash=bytes(row.request_hash),
        lead_id=row.lead_id,
        payment_id=row.payment_id,
        dispute_id=row.dispute_id,
        actor=row.actor,
        description=row.description,
        event_at=row.event_at,
        created_at=row.created_at,
    )
    if bytes(row.row_hash) != chain.head:
        yield Breach(
            "each row's hash covers its content and the row before",
            chain.ref,
            f"{where}: the content or an earlier row was changed",
        )


def _end(chain: _Chain, row: Row[Any]) -> Iterator[Breach]:
    if not chain.broken and bytes(row.head_hash) != chain.head:
        yield Breach("the account's head hash is its last row's", chain.ref, "they differ")

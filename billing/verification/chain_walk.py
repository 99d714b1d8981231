"""The walk over every ledger row: version, running balance and hash, each from the row before.

A row is checked against the row before it in the table, so the walk need not start at the first
row: `segments` cuts the rows into parts of about the same size, even within an account of millions,
and each part can be walked in another process.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from billing.ledger.hash_chain import first_hash, row_hash
from billing.verification.findings import Breach

CHUNK = 2_000
"""Number of rows that a process holds in memory."""

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1

Place = tuple[int, int]
"""(account id, version): the order in which rows are walked."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The rows from `start` to `end`, exclusive."""

    start: Place
    end: Place


_SIZES = text("SELECT account_id, count(*) FROM credit_transactions GROUP BY 1 ORDER BY 1")


def segments(session: Session, *, rows_each: int) -> list[Segment]:
    """Return parts of about `rows_each` rows that together cover every row.

    Tampered rows can only move the cuts: every possible place is in exactly one segment.
    """
    cuts = [(_LOWEST, _LOWEST)]
    filled = 0
    for account_id, size in session.execute(_SIZES, execution_options={"yield_per": CHUNK}):
        done = 0
        while filled + size - done > rows_each:
            done += rows_each - filled
            cuts.append((account_id, done + 1))
            filled = 0
        filled += size - done
    cuts.append((_HIGHEST, _HIGHEST))
    return [Segment(*places) for places in pairwise(cuts)]


# A time out of the range of Python is read as NULL: the row is broken, not the verification.
_ROWS = text("""
SELECT t.account_id, a.ref, t.id, t.version, t.amount, t.balance_after, t.kind,
       t.idempotency_key, t.request_hash, t.lead_id, t.payment_id, t.dispute_id, t.actor,
       t.description,
       CASE WHEN t.event_at >= '0001-01-02 00:00:00+00' AND t.event_at < '9999-12-31 00:00:00+00'
            THEN t.event_at END,
       CASE WHEN t.created_at >= '0001-01-02 00:00:00+00'
             AND t.created_at < '9999-12-31 00:00:00+00' THEN t.created_at END,
       t.row_hash,
       CASE WHEN t.reverses_id IS NOT NULL THEN
            (SELECT r.idempotency_key FROM credit_transactions r WHERE r.id = t.reverses_id) END
  FROM credit_transactions t LEFT JOIN accounts a ON a.id = t.account_id
 WHERE (t.account_id, t.version) >= (CAST(:account AS bigint), CAST(:version AS bigint))
   AND (t.account_id, t.version) < (CAST(:end_account AS bigint), CAST(:end_version AS bigint))
 ORDER BY t.account_id, t.version
""")
_BEFORE = text("""
SELECT version, balance_after, row_hash FROM credit_transactions
 WHERE account_id = :account AND version < :version ORDER BY version DESC LIMIT 1
""")


@dataclass(slots=True)
class _Chain:
    """The state after the row before, on the account of the walk."""

    account_id: int
    version: int
    balance: int
    head: bytes
    is_broken: bool = False


def walk(session: Session, segment: Segment) -> Iterator[Breach | int]:
    """Walk a segment; yield the first breach of each account, and numbers of rows walked."""
    # Lets the planner read the table once and sort, if that is cheaper than the index.
    session.execute(text("SET LOCAL cursor_tuple_fraction = 1"))
    chain = _chain_before(session, segment.start)
    (account, version), (end_account, end_version) = segment.start, segment.end
    bounds = {
        "account": account,
        "version": version,
        "end_account": end_account,
        "end_version": end_version,
    }
    rows = session.execute(_ROWS, bounds, execution_options={"yield_per": CHUNK})
    for partition in rows.partitions(CHUNK):
        for row in partition:
            if row[0] != chain.account_id:
                chain = _Chain(row[0], 0, 0, first_hash(row[1] or ""))
            if not chain.is_broken:
                breach = _follow(chain, row)
                if breach is not None:
                    chain.is_broken = True
                    yield breach
        yield len(partition)


def _chain_before(session: Session, place: Place) -> _Chain:
    account, version = place
    row = session.execute(_BEFORE, {"account": account, "version": version}).one_or_none()
    if row is None:
        return _Chain(_LOWEST, 0, 0, b"")  # no account: the first row starts a new chain
    return _Chain(account, row.version, row.balance_after, bytes(row.row_hash))


def _follow(chain: _Chain, row: Sequence[Any]) -> Breach | None:
    """Check a row against the row before it, and advance to it."""
    (
        _, ref, id_, version, amount, balance_after, kind, idempotency_key, request_hash, lead_id,
        payment_id, dispute_id, actor, description, event_at, created_at, stored_hash,
        reverses_key,
    ) = row  # fmt: skip
    expected = chain.version + 1
    balance = chain.balance + amount
    head = None
    if event_at is not None and created_at is not None:
        head = row_hash(
            chain.head,
            version=version,
            amount=amount,
            balance_after=balance_after,
            kind=kind,
            idempotency_key=idempotency_key,
            request_hash=bytes(request_hash),
            lead_id=lead_id,
            payment_id=payment_id,
            dispute_id=dispute_id,
            actor=actor,
            description=description,
            event_at=event_at,
            created_at=created_at,
            reverses_key=reverses_key,
        )
    chain.version, chain.balance, chain.head = version, balance_after, bytes(stored_hash)
    if ref is None:
        problem = "every row belongs to an account", "its account is missing"
    elif version != expected:
        problem = "versions have no gap", f"expected {expected}"
    elif balance_after != balance:
        problem = "balance_after is the running sum", f"{balance_after}, the sum is {balance}"
    elif head is None:
        problem = "every row has valid times", "event_at or created_at is out of range"
    elif chain.head != head:
        problem = (
            "each row's hash covers its content and the row before",
            "the content or an earlier row was changed",
        )
    else:
        return None
    account = ref if ref is not None else f"id {chain.account_id}"
    return Breach(
        problem[0], account, f"transaction {id_}, version {version}: {problem[1]}", version
    )

"""The ledger's SQL that locks and reads.

Called by `billing/ledger/writer.py` and `billing/ledger/attempt.py` alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from billing.ledger.account_book import AccountBook
from billing.ledger.alert_levels import Level, low_balance_of
from billing.ledger.kinds import Kind
from billing.ledger.lots import Charge, Debt, Lot
from billing.ledger.posting import Posting, PostingResult
from db.bulk import int_array, text_array

# The content behind a key: fields of a posting, in the order of an applied row's columns.
_CONTENT_FIELDS = (
    "account",
    "amount",
    "kind",
    "lead_id",
    "payment_id",
    "dispute_id",
    "description",
    "reverses",
)


@dataclass(slots=True)
class AppliedRow:
    """A ledger row whose key was posted again."""

    request_hash: bytes
    transaction_id: int
    version: int
    balance_after: int
    content: tuple[Any, ...]

    @classmethod
    def of(cls, posting: Posting, request_hash: bytes, result: PostingResult) -> "AppliedRow":
        """Return the row of a posting that was applied just now, with this result."""
        return cls(
            request_hash,
            result.transaction_id,
            result.version,
            result.balance_after,
            _content(posting),
        )

    def differences(self, posting: Posting) -> dict[str, tuple[object, object]]:
        """Return field -> (recorded, requested now) for the fields that differ."""
        pairs = zip(_CONTENT_FIELDS, self.content, _content(posting), strict=True)
        found = {field: (before, now) for field, before, now in pairs if before != now}
        return found or {"expires_at": ("other", posting.expires_at)}


def _content(posting: Posting) -> tuple[Any, ...]:
    return (
        posting.account,
        posting.amount,
        posting.kind.value,
        posting.lead_id,
        posting.payment_id,
        posting.dispute_id,
        posting.description,
        posting.reverses,
    )


_BOOK = """
SELECT id, ref, balance, held, overdraft_limit, version, head_hash, timezone, alert_level,
       low_balance
  FROM accounts WHERE """
# NO KEY UPDATE does not block the foreign keys of the rows that are inserted.
_LOCK = text(f"{_BOOK} ref = ANY(CAST(:refs AS text[])) ORDER BY id FOR NO KEY UPDATE")
_LOCK_OF_IDS = text(f"{_BOOK} id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE")
_LOCK_OF_HOLD = text(
    f"{_BOOK} id = (SELECT account_id FROM holds WHERE id = :hold) FOR NO KEY UPDATE"
)


def lock_accounts(session: Session, refs: Iterable[str]) -> dict[str, AccountBook]:
    """Lock the accounts in id order and return a book for each that exists, by reference."""
    wanted = text_array(refs)
    if wanted == "{}":
        return {}
    books = map(_book, session.execute(_LOCK, {"refs": wanted}))
    return {book.ref: book for book in books}


def lock_accounts_of_ids(session: Session, ids: Iterable[int]) -> dict[str, AccountBook]:
    """Lock the accounts in id order and return a book for each that exists, by reference."""
    books = map(_book, session.execute(_LOCK_OF_IDS, {"ids": int_array(ids)}).all())
    return {book.ref: book for book in books}


def lock_account_of_hold(session: Session, hold_id: int) -> AccountBook | None:
    """Lock a hold's account and return its book; None if there is no such hold."""
    row = session.execute(_LOCK_OF_HOLD, {"hold": hold_id}).one_or_none()
    return _book(row) if row is not None else None


def _book(row: Sequence[Any]) -> AccountBook:
    id_, ref, balance, held, limit, version, head_hash, zone, level, low_balance = row
    return AccountBook(
        id_,
        ref,
        balance,
        held,
        limit,
        version,
        bytes(head_hash),
        zone,
        Level(level),
        low_balance_of(low_balance),
    )


# Most keys are new, and for them this reads only the index. A join would be planned for as many
# rows as there are keys, and read all accounts.
_KNOWN = text("""
SELECT id FROM credit_transactions WHERE idempotency_key = ANY(CAST(:keys AS text[]))
""")
_APPLIED = text("""
SELECT t.idempotency_key, t.request_hash, t.id, t.version, t.balance_after, a.ref, t.amount,
       t.kind, t.lead_id, t.payment_id, t.dispute_id, t.description, r.idempotency_key
  FROM credit_transactions t JOIN accounts a ON a.id = t.account_id
  LEFT JOIN credit_transactions r ON r.id = t.reverses_id
 WHERE t.id = ANY(CAST(:ids AS bigint[]))
""")


def find_applied(session: Session, keys: Iterable[str]) -> dict[str, AppliedRow]:
    """Return the ledger rows with one of `keys`, by key."""
    known = session.scalars(_KNOWN, {"keys": text_array(sorted(keys))}).all()
    if not known:
        return {}
    return {
        key: AppliedRow(bytes(request_hash), id_, version, balance_after, tuple(content))
        for key, request_hash, id_, version, balance_after, *content in session.execute(
            _APPLIED, {"ids": int_array(known)}
        )
    }


_LOTS = text("""
SELECT account_id, id, source, remaining, expires_at, created_at FROM credit_lots
 WHERE account_id = ANY(CAST(:ids AS bigint[])) AND exhausted_at IS NULL
""")
_DEBTS = text("""
SELECT account_id, charge_id, remaining FROM credit_debts
 WHERE account_id = ANY(CAST(:ids AS bigint[])) AND settled_at IS NULL ORDER BY charge_id
""")


def load_lots_and_debts(session: Session, books: list[AccountBook]) -> dict[int, Lot]:
    """Load the open lots, in burn order, and the open debts of locked accounts into their books.

    Returns the lots by id.
    """
    by_id = {book.id: book for book in books}
    lots: dict[int, Lot] = {}
    if not by_id:
        return lots
    for account_id, *columns in session.execute(_LOTS, {"ids": int_array(by_id)}).all():
        lot = lots[columns[0]] = Lot(*columns)
        by_id[account_id].lots.append(lot)
    for book in books:
        if len(book.lots) > 1:
            book.lots.sort(key=Lot.burn_key)
    indebted = [book.id for book in books if book.balance < 0]
    if indebted:
        for account_id, *debt in session.execute(_DEBTS, {"ids": int_array(indebted)}):
            by_id[account_id].debts.append(Debt(*debt))
    return lots


_PAST = text("""
SELECT EXISTS (SELECT FROM credit_lots WHERE account_id = ANY(CAST(:ids AS bigint[]))
                  AND exhausted_at IS NULL AND expires_at <= :now)
""")


def has_due_lots(session: Session, now: datetime, books: Iterable[AccountBook]) -> bool:
    """Return whether one of these locked accounts has credit past its time."""
    ids = int_array(book.id for book in books)
    return bool(session.scalar(_PAST, {"ids": ids, "now": now}))


_LOT_KEYS = text("""
SELECT l.id, t.idempotency_key FROM credit_lots l
  JOIN credit_transactions t ON t.id = l.transaction_id
 WHERE l.id = ANY(CAST(:ids AS bigint[]))
""")


def keys_of_lots(session: Session, lot_ids: Iterable[int]) -> dict[int, str]:
    """Return the idempotency key of the credit that made each lot."""
    rows = session.execute(_LOT_KEYS, {"ids": int_array(lot_ids)})
    return {lot_id: key for lot_id, key in rows}  # noqa: C416 - rows are not pairs to dict()


_LOTS_OF_KEYS = text("""
SELECT t.idempotency_key, l.id FROM credit_lots l
  JOIN credit_transactions t ON t.id = l.transaction_id
 WHERE t.idempotency_key = ANY(CAST(:keys AS text[]))
""")


def lots_of_keys(session: Session, keys: Iterable[str]) -> dict[str, int]:
    """Return the id of the lot that the credit of each key made, by key."""
    wanted = text_array(keys)
    if wanted == "{}":
        return {}
    rows = session.execute(_LOTS_OF_KEYS, {"keys": wanted})
    return {key: lot_id for key, lot_id in rows}  # noqa: C416 - rows are not pairs to dict()


_CHARGES = text("""
SELECT t.id, t.idempotency_key, a.ref, t.kind, t.amount,
       (SELECT coalesce(sum(r.amount), 0)::bigint FROM credit_transactions r
         WHERE r.reverses_id = t.id)
  FROM credit_transactions t JOIN accounts a ON a.id = t.account_id
 WHERE t.idempotency_key = ANY(CAST(:keys AS text[]))
""")
_TAKEN = text("""
SELECT m.charge_id, -m.taken, t.kind = 'write_off',
       l.id, l.source, l.remaining, l.expires_at, l.created_at
  FROM (SELECT charge_id, lot_id, sum(amount)::bigint AS taken
          FROM lot_movements WHERE charge_id = ANY(CAST(:ids AS bigint[]))
         GROUP BY charge_id, lot_id HAVING sum(amount) < 0) m
  JOIN credit_lots l ON l.id = m.lot_id
  JOIN credit_transactions t ON t.id = l.transaction_id
""")


def load_charges(
    session: Session, keys: Iterable[str], open_lots: dict[int, Lot]
) -> dict[str, Charge]:
    """Return the charges of `keys`, by key, with the credits that they still hold of each lot.

    `open_lots` are the lots of the loaded books: charges share these objects. The credits are in
    the burn order of their lots, also if a later credit paid a part.
    """
    wanted = text_array(keys)
    if wanted == "{}":
        return {}
    charges = {
        row[0]: Charge(row[0], row[1], row[2], Kind(row[3]), row[4], row[5], 0, [])
        for row in session.execute(_CHARGES, {"keys": wanted})
    }
    held = session.execute(_TAKEN, {"ids": int_array(charges)})
    for charge_id, taken, written_off, *columns in held:
        if written_off:
            charges[charge_id].forgiven += taken
            continue
        lot = open_lots.setdefault(columns[0], Lot(*columns))
        charges[charge_id].taken.append((lot, taken))
    for charge in charges.values():
        charge.taken.sort(key=lambda entry: entry[0].burn_key())
    return {charge.idempotency_key: charge for charge in charges.values()}


# One array is cheaper to read than a row for each id.
_TRANSACTION_IDS = text(
    "SELECT array_agg(nextval('credit_transactions_id_seq')) FROM generate_series(1, :count)"
)
_LOT_IDS = text("SELECT array_agg(nextval('credit_lots_id_seq')) FROM generate_series(1, :count)")


def next_transaction_ids(session: Session, count: int) -> list[int]:
    """Reserve ids of ledger rows: movements name their transaction before it is written."""
    return session.scalar(_TRANSACTION_IDS, {"count": count}) or [] if count else []


def next_lot_ids(session: Session, count: int) -> list[int]:
    """Reserve ids of lots."""
    return session.scalar(_LOT_IDS, {"count": count}) or [] if count else []

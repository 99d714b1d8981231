"""The ledger's SQL that writes the changes of a post. Called by `billing/ledger/attempt.py` alone.

One row, such as a charge, is one statement. Many rows are COPY and arrays within a savepoint.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import psycopg2
from sqlalchemy import text
from sqlalchemy.orm import Session

from billing.ledger.account_book import AccountBook, Changes
from db import outbox
from db.bulk import bytes_array, copy_rows, int_array, text_array

KEY_CONSTRAINT = "uq_credit_transactions_idempotency_key"


class KeyTaken(Exception):
    """Another transaction has just written a row with one of the keys; nothing was written."""


_TRANSACTION_COLUMNS = (
    "idempotency_key", "id", "account_id", "version", "amount", "balance_after", "kind",
    "request_hash", "lead_id", "payment_id", "dispute_id", "actor", "description", "event_at",
    "created_at", "row_hash", "reverses_id", "request_id",
)  # fmt: skip
_LOT_COLUMNS = (
    "id", "account_id", "transaction_id", "source", "amount", "expires_at", "created_at",
    "remaining", "exhausted_at",
)  # fmt: skip
_DEBT_COLUMNS = ("charge_id", "account_id", "amount", "created_at", "remaining", "settled_at")
_MOVEMENT_COLUMNS = ("charge_id", "lot_id", "transaction_id", "amount")
_UPDATE_ACCOUNTS_SQL = """
UPDATE accounts a
   SET balance = n.balance, held = n.held, version = n.version, head_hash = n.head_hash,
       alert_level = n.alert_level
  FROM unnest(CAST(:ids AS bigint[]), CAST(:balances AS bigint[]), CAST(:held AS bigint[]),
              CAST(:versions AS bigint[]), CAST(:hashes AS bytea[]), CAST(:levels AS text[]))
       AS n(id, balance, held, version, head_hash, alert_level)
 WHERE a.id = n.id"""
_UPDATE_ACCOUNTS = text(_UPDATE_ACCOUNTS_SQL)
_UPDATE_LOTS_SQL = """
UPDATE credit_lots l
   SET remaining = n.remaining,
       exhausted_at = CASE WHEN n.remaining = 0 THEN CAST(:now AS timestamptz) END
  FROM unnest(CAST(:lots AS bigint[]), CAST(:remaining AS bigint[])) AS n(id, remaining)
 WHERE l.id = n.id"""
_UPDATE_LOTS = text(_UPDATE_LOTS_SQL)
# One row, such as a charge, with its movements: one round trip. If its key is taken, nothing is
# written, so that it needs no savepoint.
_WRITE_ONE = text(f"""
WITH posted AS (
    INSERT INTO credit_transactions ({", ".join(_TRANSACTION_COLUMNS)})
    VALUES ({", ".join(f":{column}" for column in _TRANSACTION_COLUMNS)})
    ON CONFLICT (idempotency_key) DO NOTHING RETURNING id
), lots AS ({_UPDATE_LOTS_SQL} AND EXISTS (SELECT FROM posted)
), moved AS (
    INSERT INTO lot_movements ({", ".join(_MOVEMENT_COLUMNS)})
    SELECT m.* FROM posted, unnest(CAST(:charges AS bigint[]), CAST(:from_lots AS bigint[]),
                                   CAST(:rows AS bigint[]), CAST(:amounts AS bigint[])) AS m
), changed AS ({_UPDATE_ACCOUNTS_SQL} AND EXISTS (SELECT FROM posted)
)
SELECT id FROM posted
""")
_UPDATE_DEBTS = text("""
UPDATE credit_debts d
   SET remaining = n.remaining,
       settled_at = CASE WHEN n.remaining = 0 THEN CAST(:now AS timestamptz) END
  FROM unnest(CAST(:ids AS bigint[]), CAST(:remaining AS bigint[])) AS n(id, remaining)
 WHERE d.charge_id = n.id
""")


def write(
    session: Session, changes: Changes, books: Iterable[AccountBook], *, now: datetime
) -> None:
    """Write the changes of a post, or raise `KeyTaken` and write nothing.

    New lots and debts are inserted with what remains of them after the whole batch. The rows are
    sorted by idempotency key, so that two writers of the same keys cannot deadlock.
    """
    if not changes.transactions:
        return
    changed = [book for book in books if book.changed]
    alone = len(changes.transactions) == 1
    if alone and changes.movements and not (changes.lots or changes.debts or changes.changed_debts):
        _write_one(session, changes, changed, now)
    else:
        _write_many(session, changes, changed, now)
    outbox.write(session, changes.notices, now=now)
    # This wrote past the session: objects that the caller loaded are stale.
    session.expire_all()


def _write_one(
    session: Session, changes: Changes, changed: Sequence[AccountBook], now: datetime
) -> None:
    charges, from_lots, rows, amounts = zip(*changes.movements, strict=True)
    values = {
        **dict(zip(_TRANSACTION_COLUMNS, changes.transactions[0], strict=True)),
        **_changed_lots(changes, now),
        **_changed_accounts(changed),
        "charges": int_array(charges),
        "from_lots": int_array(from_lots),
        "rows": int_array(rows),
        "amounts": int_array(amounts),
    }
    if session.scalar(_WRITE_ONE, values) is None:
        raise KeyTaken


def _write_many(
    session: Session, changes: Changes, changed: Sequence[AccountBook], now: datetime
) -> None:
    changes.transactions.sort(key=lambda row: str(row[0]))
    try:
        # COPY has no ON CONFLICT; the savepoint takes back the rows before the taken key.
        with session.begin_nested():
            copy_rows(session, "credit_transactions", _TRANSACTION_COLUMNS, changes.transactions)
            _write_lots(session, changes, now)
            _write_debts(session, changes, now)
            copy_rows(session, "lot_movements", _MOVEMENT_COLUMNS, changes.movements)
            session.execute(_UPDATE_ACCOUNTS, _changed_accounts(changed))
    except psycopg2.errors.UniqueViolation as error:
        if error.diag.constraint_name != KEY_CONSTRAINT:
            raise
        raise KeyTaken from error


def _changed_accounts(changed: Sequence[AccountBook]) -> dict[str, object]:
    return {
        "ids": int_array(book.id for book in changed),
        "balances": int_array(book.balance for book in changed),
        "held": int_array(book.held for book in changed),
        "versions": int_array(book.version for book in changed),
        "hashes": bytes_array(book.head_hash for book in changed),
        "levels": text_array(book.alert_level for book in changed),
    }


def _changed_lots(changes: Changes, now: datetime) -> dict[str, object]:
    return {
        "lots": int_array(changes.changed_lots),
        "remaining": int_array(changes.changed_lots.values()),
        "now": now,
    }


def _write_lots(session: Session, changes: Changes, now: datetime) -> None:
    if changes.lots:
        rows = []
        for lot in changes.lots:
            remaining = changes.changed_lots.pop(lot[0])  # type: ignore[call-overload]  # rows are tuples of object
            rows.append((*lot, remaining, None if remaining else now))
        copy_rows(session, "credit_lots", _LOT_COLUMNS, rows)
    if changes.changed_lots:
        session.execute(_UPDATE_LOTS, _changed_lots(changes, now))


def _write_debts(session: Session, changes: Changes, now: datetime) -> None:
    if changes.debts:
        rows = []
        for debt in changes.debts:
            remaining = changes.changed_debts.pop(debt[0])  # type: ignore[call-overload]  # rows are tuples of object
            rows.append((*debt, remaining, None if remaining else now))
        copy_rows(session, "credit_debts", _DEBT_COLUMNS, rows)
    if changes.changed_debts:
        settled = changes.changed_debts
        values = {"ids": int_array(settled), "remaining": int_array(settled.values()), "now": now}
        session.execute(_UPDATE_DEBTS, values)

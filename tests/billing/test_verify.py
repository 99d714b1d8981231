"""`ledger verify` finds what direct SQL did to the books, and says where."""

import pytest
from sqlalchemy import text

from billing import verify
from db.session import snapshot, transaction
from tests.billing.helpers import give, open_account, post_all, take


@pytest.fixture(autouse=True)
def books(database: str) -> None:
    """Two accounts with a history: credit, charges, a debt."""
    for ref in ("clinic:1", "clinic:2"):
        open_account(ref, credits_=100, overdraft_limit=50)
        for i in range(3):
            post_all(take(40, key=f"{ref}:{i}", account=ref, lead_id=f"{ref}-{i}"))
        post_all(give(5, key=f"{ref}:g", account=ref))


def breaches() -> list[tuple[str, str]]:
    with snapshot() as session:
        return [(b.account, b.detail) for b in verify.verify(session).breaches]


def tamper(statement: str) -> None:
    """Do what only an owner of the tables could do."""
    with transaction() as session:
        session.execute(text("ALTER TABLE credit_transactions DISABLE TRIGGER ALL"))
        session.execute(text("ALTER TABLE lot_movements DISABLE TRIGGER ALL"))
        session.execute(text(statement))


def test_untouched_books_are_clean_and_counted() -> None:
    with snapshot() as session:
        report = verify.verify(session)
    assert (report.accounts, report.transactions, report.breaches) == (2, 10, [])


@pytest.mark.parametrize(
    "change",
    [
        "description = 'something else'",
        "lead_id = 'another lead'",
        "actor = 'somebody else'",
        "event_at = event_at - interval '1 microsecond'",
        "created_at = created_at - interval '1 day'",
        "request_hash = sha256('x')",
        "kind = 'adjustment'",
        "row_hash = sha256('x')",
    ],
)
def test_a_changed_row_is_named_once_at_its_place(change: str) -> None:
    tamper(f"UPDATE credit_transactions SET {change} WHERE idempotency_key = 'clinic:2:0'")
    found = breaches()
    assert len(found) == 1
    account, detail = found[0]
    assert account == "clinic:2"
    assert "version 2" in detail


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE credit_transactions SET amount = -39 WHERE idempotency_key = 'clinic:2:1'",
        "UPDATE credit_transactions SET balance_after = 7 WHERE idempotency_key = 'clinic:2:1'",
        "UPDATE accounts SET balance = balance + 1 WHERE ref = 'clinic:2'",
        "UPDATE accounts SET version = version + 1 WHERE ref = 'clinic:2'",
        "UPDATE accounts SET head_hash = sha256('x') WHERE ref = 'clinic:2'",
        "UPDATE accounts SET held = 1000 WHERE ref = 'clinic:2'",
        "UPDATE lot_movements SET amount = amount - 1 WHERE charge_id ="
        " (SELECT id FROM credit_transactions WHERE idempotency_key = 'clinic:2:1')",
        "DELETE FROM lot_movements WHERE charge_id ="
        " (SELECT id FROM credit_transactions WHERE idempotency_key = 'clinic:2:0')",
        "UPDATE credit_debts SET remaining = remaining - 1 WHERE account_id ="
        " (SELECT id FROM accounts WHERE ref = 'clinic:2')",
        "INSERT INTO credit_lots (account_id, transaction_id, source, amount, remaining,"
        " created_at) SELECT account_id, id, 'goodwill', 5, 5, created_at"
        " FROM credit_transactions WHERE idempotency_key = 'clinic:2:g'",
        "DELETE FROM transaction_kinds WHERE kind = 'goodwill'",
    ],
)
def test_every_other_way_to_bend_the_books_is_found(statement: str) -> None:
    tamper(statement)
    accounts = {account for account, _ in breaches()}
    assert accounts
    assert accounts <= {"clinic:2", "all"}


def test_a_removed_row_is_a_gap() -> None:
    tamper(
        "DELETE FROM lot_movements; DELETE FROM credit_transactions"
        " WHERE idempotency_key = 'clinic:2:0'"
    )
    assert any(
        account == "clinic:2" and detail.endswith("version 3: expected 2")
        for account, detail in breaches()
    )

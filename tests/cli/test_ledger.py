"""`billing ledger verify` finds what somebody changed behind the ledger's back."""

import json
import re

import pytest
from sqlalchemy import text

from db.session import transaction
from tests.billing.helpers import post_all, take
from tests.cli.runner import Ran, give, open_clinic, run


@pytest.fixture(autouse=True)
def _books(database: str) -> None:
    """Two accounts, the first with a credit and two charges."""
    open_clinic("clinic:42")
    open_clinic("clinic:43")
    give("1000", "clinic:42", "--key", "welcome:42")
    give("500", "clinic:43", "--key", "welcome:43")
    post_all(take(180, key="lead:L-1:charge"))
    post_all(take(250, key="lead:L-2:charge"))


def tamper(statement: str) -> None:
    """Change rows as a superuser who switches the append-only triggers off."""
    with transaction() as session:
        for table in ("credit_transactions", "lot_movements"):
            session.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        session.execute(text(statement))
        for table in ("credit_transactions", "lot_movements"):
            session.execute(text(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only"))
            session.execute(text(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only_truncate"))


def test_clean_books_are_told_to_be_clean() -> None:
    ran = run("ledger", "verify")

    assert (ran.exit_code, ran.err) == (0, "")
    assert ran.out == "The ledger is clean: 4 rows on 2 accounts.\n"
    assert run("ledger", "verify", "--json").json == {
        "ok": True, "accounts": 2, "transactions": 4, "breaches": [],
    }  # fmt: skip


def test_empty_books_are_clean() -> None:
    tamper("TRUNCATE accounts CASCADE")

    assert run("ledger", "verify").out == "The ledger is clean: 0 rows on 0 accounts.\n"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param(
            "UPDATE credit_transactions SET amount = -18 WHERE idempotency_key = 'lead:L-1:charge'",
            "version 2",
            id="an amount",
        ),
        pytest.param(
            "UPDATE credit_transactions SET description = 'x' WHERE idempotency_key ="
            " 'lead:L-1:charge'",
            "version 2",
            id="a description",
        ),
        pytest.param(
            "UPDATE credit_transactions SET event_at = event_at - interval '1 month'"
            " WHERE idempotency_key = 'lead:L-1:charge'",
            "version 2",
            id="when it happened",
        ),
        pytest.param(
            "UPDATE credit_transactions SET actor = 'nobody' WHERE version = 3",
            "version 3",
            id="who did it",
        ),
        pytest.param(
            "UPDATE credit_transactions SET lead_id = 'L-9' WHERE version = 3",
            "version 3",
            id="which lead",
        ),
        pytest.param(
            "UPDATE credit_transactions SET balance_after = 821 WHERE version = 2",
            "version 2",
            id="a running balance",
        ),
        pytest.param(
            "DELETE FROM lot_movements WHERE charge_id IN"
            " (SELECT id FROM credit_transactions WHERE version = 2);"
            "DELETE FROM credit_transactions WHERE version = 2",
            "version 3",
            id="a row taken out",
        ),
        pytest.param(
            "DELETE FROM lot_movements WHERE charge_id IN"
            " (SELECT id FROM credit_transactions WHERE version = 3);"
            "DELETE FROM credit_transactions WHERE version = 3",
            "last version 2",
            id="the newest row taken out",
        ),
        pytest.param(
            "UPDATE accounts SET balance = 99999 WHERE ref = 'clinic:42'", "99999", id="a balance"
        ),
        pytest.param(
            "UPDATE credit_lots SET remaining = amount WHERE amount = 1000",
            "1000 of 1000 remain",
            id="what is left",
        ),
        pytest.param(
            "DELETE FROM lot_movements", "movements 0", id="where the charges took it from"
        ),
        pytest.param(
            "UPDATE transaction_kinds SET kind = 'gift' WHERE kind = 'goodwill'",
            "house",
            id="the house's side",
        ),
        pytest.param(
            "UPDATE accounts SET head_hash = '\\x00' WHERE ref = 'clinic:42'",
            "they differ",
            id="the head of the chain",
        ),
    ],
)
def test_a_change_behind_the_ledgers_back_is_found_and_named(change: str, named: str) -> None:
    tamper(change)

    table, document = run("ledger", "verify"), run("ledger", "verify", "--json")

    assert (table.exit_code, document.exit_code) == (1, 1)
    found = json.loads(document.out)
    assert found["ok"] is False
    assert any(named in breach["detail"] for breach in found["breaches"])
    assert all(set(breach) == {"invariant", "account", "detail"} for breach in found["breaches"])
    assert named in _unwrapped(table)


def test_only_the_account_at_fault_is_named() -> None:
    tamper("UPDATE credit_transactions SET description = 'x' WHERE version = 2")

    breaches = json.loads(run("ledger", "verify", "--json").out)["breaches"]

    assert {breach["account"] for breach in breaches} == {"clinic:42"}


def test_the_row_at_fault_is_named_by_its_number() -> None:
    [row] = [r for r in run("history", "clinic:42", "--json").json if r["version"] == 2]
    tamper("UPDATE credit_transactions SET amount = -18 WHERE version = 2")

    assert f"transaction {row['id']}" in run("ledger", "verify", "--json").out


def _unwrapped(ran: Ran) -> str:
    return re.sub(r"[│\s]+", " ", ran.out)

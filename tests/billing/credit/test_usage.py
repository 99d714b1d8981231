"""Spending in one step: once for a key, never more than is available."""

from datetime import timedelta
from typing import Any

import pytest

import clock
from billing.credit import holds, usage
from billing.errors import IdempotencyConflict, UnknownAccount
from billing.ledger import InsufficientCredit, InvalidPosting, Outcome, PostingResult
from db.session import transaction
from tests.billing.given import assert_ledger_is_clean, balance, open_account, rows

pytestmark = pytest.mark.usefixtures("database")


def charge(amount: Any = 30, **more: Any) -> PostingResult:
    fields = {"account": "clinic:42", "idempotency_key": "c", "actor": "test", **more}
    with transaction() as session:
        return usage.charge(session, amount=amount, **fields)


def test_a_charge_is_for_usage_and_is_told_beside() -> None:
    open_account(credits_=100)

    assert charge(description="3 pages").balance_after == 70
    assert rows(
        "SELECT amount, kind, description, actor FROM credit_transactions WHERE amount < 0"
    ) == [(-30, "usage", "3 pages", "test")]
    assert_ledger_is_clean()


def test_what_an_expired_hold_kept_can_be_spent_before_the_sweep() -> None:
    open_account(credits_=100)
    with transaction() as session:
        holds.place(
            session, account="clinic:42", amount=100, idempotency_key="h", actor="test",
            expires_in=timedelta(minutes=1),
        )  # fmt: skip

    with clock.frozen(clock.now() + timedelta(minutes=2)):
        assert charge(100).balance_after == 0
    assert rows("SELECT state FROM holds") == [("expired",)]
    assert_ledger_is_clean()


def test_the_same_charge_again_is_one() -> None:
    open_account(credits_=100)
    first, again = charge(), charge()

    assert (again.outcome, again.transaction_id) == (Outcome.REPEATED, first.transaction_id)
    with pytest.raises(IdempotencyConflict):
        charge(31)
    assert balance() == 70


def test_more_than_is_available_takes_nothing() -> None:
    open_account(credits_=100, overdraft_limit=5)

    with pytest.raises(InsufficientCredit) as caught:
        charge(106)
    assert (caught.value.needed, caught.value.available) == (106, 105)
    assert balance() == 100


def test_nonsense_names_its_field_and_takes_nothing() -> None:
    open_account(credits_=100)
    for amount in (0, -5, True, 1.0, "5", None, 10**12 + 1):
        with pytest.raises(InvalidPosting) as caught:
            charge(amount)
        assert caught.value.field == "amount"
    with pytest.raises(UnknownAccount):
        charge(account="clinic:43")
    assert balance() == 100

"""Lots and debts: which lots a charge takes from, and how a debt is paid."""

from datetime import timedelta

import pytest

import clock
from billing.ledger import InsufficientCredit, Kind, Posting
from tests.billing.given import (
    assert_ledger_is_clean,
    balance,
    give,
    open_account,
    post_all,
    rows,
    take,
)

pytestmark = pytest.mark.usefixtures("database")

MOVEMENTS = """
SELECT c.idempotency_key AS charge, l.idempotency_key AS lot, t.idempotency_key AS by, m.amount
  FROM lot_movements m
  JOIN credit_transactions c ON c.id = m.charge_id
  JOIN credit_lots o ON o.id = m.lot_id JOIN credit_transactions l ON l.id = o.transaction_id
  JOIN credit_transactions t ON t.id = m.transaction_id
 ORDER BY m.transaction_id, m.charge_id, m.lot_id
"""


def adjust(amount: int, *, key: str) -> Posting:
    return Posting("clinic:42", amount, Kind.ADJUSTMENT, key, "test")


def test_credit_burns_by_soonest_expiry_then_source_then_age() -> None:
    # Given lots of every source, made in the order opposite to the one they burn in
    open_account()
    soon, late = (clock.now() + timedelta(days=days) for days in (30, 200))
    for posting in (
        give(10, key="purchase", kind=Kind.TOP_UP),
        give(10, key="goodwill", kind=Kind.GOODWILL),
        give(10, key="bonus", kind=Kind.BONUS),
        give(10, key="grant", kind=Kind.GRANT),
        give(10, key="grant younger", kind=Kind.GRANT),
        give(10, key="late", kind=Kind.TOP_UP, expires_at=late),
        give(10, key="soon", kind=Kind.TOP_UP, expires_at=soon),
    ):
        post_all(posting)
    # When everything is charged at once
    post_all(take(70, key="t"))
    # Then the lots were taken from in the burn order
    order = rows(
        "SELECT t.idempotency_key FROM lot_movements m JOIN credit_lots l ON l.id = m.lot_id"
        " JOIN credit_transactions t ON t.id = l.transaction_id ORDER BY m.ctid"
    )
    assert [key for (key,) in order] == [
        "soon", "late", "grant", "grant younger", "bonus", "goodwill", "purchase",
    ]  # fmt: skip
    assert_ledger_is_clean()


def test_a_charge_takes_exactly_what_it_needs_from_each_lot() -> None:
    open_account()
    post_all(give(100, key="a"), give(100, key="b"))
    post_all(take(130, key="t"))
    post_all(take(30, key="u"))

    assert rows(MOVEMENTS) == [("t", "a", "t", -100), ("t", "b", "t", -30), ("u", "b", "u", -30)]
    assert rows("SELECT remaining, exhausted_at IS NULL FROM credit_lots ORDER BY id") == [
        (0, False),
        (40, True),
    ]


def test_a_lot_made_and_used_up_in_one_batch_is_written_as_it_ends() -> None:
    open_account()
    post_all(give(100, key="a"), take(60, key="t"), take(40, key="u"))
    assert rows("SELECT amount, remaining FROM credit_lots") == [(100, 0)]
    assert_ledger_is_clean()


def test_a_charge_may_reach_the_overdraft_limit_and_not_pass_it() -> None:
    open_account(credits_=100, overdraft_limit=50)
    beyond = post_all(take(151, key="beyond"))[0]
    reaching = post_all(take(150, key="reaching"))[0]

    assert isinstance(beyond.error, InsufficientCredit)
    assert reaching.balance_after == -50
    assert rows("SELECT amount, remaining FROM credit_debts") == [(50, 50)]
    assert_ledger_is_clean()


def test_the_next_credit_pays_the_oldest_debt_first_and_names_the_charge() -> None:
    # Given two charges that left debts of 30 and 20
    open_account(overdraft_limit=100)
    post_all(take(30, key="older"))
    post_all(take(20, key="younger"))
    # When credit comes in twice
    post_all(give(40, key="first"))
    post_all(give(40, key="second"))
    # Then each movement names the indebted charge, and the rest is left to spend
    assert rows(MOVEMENTS) == [
        ("older", "first", "first", -30),
        ("younger", "first", "first", -10),
        ("younger", "second", "second", -10),
    ]
    assert rows("SELECT remaining FROM credit_lots ORDER BY id") == [(0,), (30,)]
    assert rows("SELECT count(*) FROM credit_debts WHERE settled_at IS NULL") == [(0,)]
    assert balance() == 30
    assert_ledger_is_clean()


def test_debt_and_its_payment_in_one_batch() -> None:
    open_account(overdraft_limit=100)
    post_all(take(30, key="t"), give(50, key="g"), take(60, key="u"))
    assert balance() == -40
    assert rows("SELECT amount, remaining FROM credit_debts ORDER BY charge_id") == [
        (30, 0),
        (40, 40),
    ]
    assert_ledger_is_clean()


def test_only_a_correction_may_pass_the_overdraft_limit() -> None:
    open_account(credits_=10)
    assert post_all(adjust(-25, key="a"))[0].balance_after == -15
    assert isinstance(post_all(take(1, key="t"))[0].error, InsufficientCredit)
    assert_ledger_is_clean()

"""`ledger verify` finds what direct SQL did to payments, their orders and their credit."""

import pytest

from billing import verification
from billing.payments import attachment as attaching
from db.session import snapshot, transaction
from tests.billing.given import assert_ledger_is_clean, open_account
from tests.billing.payments.given import news, open_order, take_in
from tests.tampering import tamper

CREDIT = "a payment and its credit agree"
ORDER = "a paid order names the payment that paid it, of its account, money and credit"


@pytest.fixture(autouse=True)
def books(database: str) -> None:
    """A paid order, a paid plan's, an attached payment, and others that brought nothing."""
    open_account("clinic:1")
    open_account("clinic:2")
    open_order(account="clinic:1")
    take_in(news(), news(payment_id="second"), news(payment_id="foreign", order_id=None))
    take_in(news(payment_id="lost", order_id=None))
    with transaction() as session:
        attaching.attach(session, "lost", account="clinic:2", reason="theirs", actor="admin:ops")
    open_order("order_2", "op-2", account="clinic:2")
    assert_ledger_is_clean()


@pytest.mark.parametrize(
    ("statement", "invariants"),
    [
        (
            "UPDATE billing_payments SET credits = 1 WHERE gateway_payment_id = 'pay_1'",
            {CREDIT, ORDER},
        ),
        (
            "UPDATE billing_payments SET bonus_credits = 0 WHERE gateway_payment_id = 'lost'",
            {CREDIT},
        ),
        ("UPDATE billing_payments SET transaction_id = NULL WHERE credits > 0", {CREDIT}),
        ("UPDATE billing_payments SET account_id = 1 WHERE gateway_payment_id = 'lost'", {CREDIT}),
        (
            "UPDATE billing_payments SET gateway = 'stripe' WHERE gateway_payment_id = 'lost'",
            {CREDIT},
        ),
        ("DELETE FROM billing_payments WHERE gateway_payment_id = 'pay_1'", {CREDIT, ORDER}),
        (
            "UPDATE billing_payments SET state = 'captured', reason = NULL, credits = 5000,"
            " account_id = 1, credited_at = created_at WHERE gateway_payment_id = 'second'",
            {CREDIT},
        ),
        ("UPDATE billing_orders SET amount_paise = 1 WHERE state = 'paid'", {ORDER}),
        ("UPDATE billing_orders SET account_id = 2 WHERE state = 'paid'", {ORDER}),
        ("UPDATE billing_orders SET state = 'paid', payment_id = 1 WHERE state = 'open'", {ORDER}),
    ],
)
def test_payments_at_odds_with_the_books_are_found(statement: str, invariants: set[str]) -> None:
    tamper(statement)

    with snapshot() as session:
        found = verification.verify(session)

    assert {breach.invariant for breach in found.breaches} == invariants

"""`ledger verify` finds what direct SQL did to refunds, chargebacks, disputes and their credit."""

import pytest

from billing import verification
from billing.credit import corrections, reversals
from db.session import snapshot, transaction
from tests.billing.disputes.given import approve, charge, dispute
from tests.billing.given import assert_ledger_is_clean, balance, open_account, post_all, take
from tests.billing.payments.given import news, open_order, take_in
from tests.billing.returns.given import (
    ask_refund,
    dispute_fact,
    ours,
    refund_fact,
    report,
    report_dispute,
)
from tests.tampering import tamper

CLAIM = "a refund or chargeback and the credit that it took back agree"
DISPUTE = "a dispute and the credit that it gave back agree"


@pytest.fixture(autouse=True)
def books(database: str) -> None:
    """Of one payment: a refund taken, one under way, one failed late; a chargeback lost and won."""
    open_account()
    open_order()
    take_in(news())
    for key, amount in (("r1", 100_000), ("r2", 50_000), ("r3", 60_000)):
        ask_refund(amount, key=key)
    report(refund_fact(refund_id="one", amount=100_000, receipt=ours("r1")))
    for seen in ("processed", "failed"):
        report(refund_fact(seen, refund_id="three", amount=60_000, receipt=ours("r3")))
    report_dispute(
        dispute_fact("lost", amount=70_000), dispute_fact("lost", "disp_2", amount=10_000)
    )
    report_dispute(dispute_fact("won", amount=70_000))
    charge("L-1", "L-2")
    approve(dispute("L-1"), amount=100)
    dispute("L-2")
    assert_ledger_is_clean()


def breaches() -> set[str]:
    with snapshot() as session:
        return {breach.invariant for breach in verification.verify(session).breaches}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_refunds SET credits = 1 WHERE position = 'taken'",
        "UPDATE billing_refunds SET bonus_credits = 0 WHERE position = 'taken'",
        "UPDATE billing_refunds SET position = 'none', credits = 0, bonus_credits = 0"
        " WHERE position = 'taken'",
        "UPDATE billing_refunds SET position = 'reserved' WHERE position = 'taken'",
        "UPDATE billing_refunds SET position = 'taken' WHERE position = 'reserved'",
        "UPDATE billing_refunds SET position = 'taken', credits = 600, bonus_credits = 60"
        " WHERE state = 'failed'",
        "UPDATE billing_refunds SET credits = 1 WHERE state = 'failed'",
        "UPDATE billing_refunds SET takes = 0 WHERE state = 'failed'",
        "UPDATE billing_chargebacks SET position = 'taken', credits = 700 WHERE state = 'won'",
        "UPDATE billing_chargebacks SET credits = credits + 1 WHERE state = 'lost'",
        "DELETE FROM billing_refunds WHERE position = 'taken'",
        "DELETE FROM billing_chargebacks WHERE state = 'won'",
    ],
)
def test_a_claim_at_odds_with_the_ledger_is_found(statement: str) -> None:
    tamper(statement)

    assert breaches() == {CLAIM}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE lead_disputes SET credits_refunded = 1 WHERE lead_id = 'L-1'",
        "UPDATE lead_disputes SET state = 'rejected', credits_refunded = 0 WHERE lead_id = 'L-1'",
        "UPDATE lead_disputes SET state = 'approved', credits_refunded = 180,"
        " resolved_at = created_at WHERE lead_id = 'L-2'",
        "UPDATE lead_disputes SET lead_id = 'L-2' WHERE lead_id = 'L-1'",
        "DELETE FROM lead_disputes WHERE lead_id = 'L-1'",
    ],
)
def test_a_dispute_at_odds_with_the_ledger_is_found(statement: str) -> None:
    tamper(statement)

    assert breaches() == {DISPUTE}


def test_what_a_write_off_paid_of_a_claim_does_not_come_back_and_the_books_are_right() -> None:
    # Given credit that is spent, and the rest of the payment refunded as debt, in part written off
    post_all(take(balance() - 1_000, key="spent"))
    ask_refund(key="r4")
    report(refund_fact(refund_id="four", amount=270_000, receipt=ours("r4")))
    assert balance() < 0
    with transaction() as session:
        corrections.write_off(
            session, account="clinic:42", amount=-balance() - 10, reason="paid", actor="ops",
            idempotency_key="w1",
        )  # fmt: skip
    assert_ledger_is_clean()

    report(refund_fact("failed", refund_id="four", amount=270_000, receipt=ours("r4")))

    assert_ledger_is_clean()


def test_what_an_operator_gives_back_by_hand_leaves_the_books_right() -> None:
    with transaction() as session:
        reversals.reverse(
            session, charge_key="refund:1:1:clawback", amount=None, reason="kindness", actor="ops",
            idempotency_key="by-hand",
        )  # fmt: skip
    assert_ledger_is_clean()

    report(refund_fact("failed", refund_id="one", amount=100_000, receipt=ours("r1")))

    assert_ledger_is_clean()

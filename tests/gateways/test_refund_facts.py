"""Refunds and disputes as the gateways' objects come: states, receipts, and what moves money."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.returns.refunds import receipt_of
from gateways.errors import UnreadableAnswer
from gateways.razorpay import refund_facts as razorpay
from gateways.stripe import refund_facts as stripe

OURS = receipt_of("a request")
RAZORPAY_REFUND: dict[str, Any] = {
    "id": "rfnd_1", "entity": "refund", "amount": 100, "currency": "INR", "payment_id": "pay_1",
    "notes": [], "receipt": OURS, "acquirer_data": {"arn": None}, "created_at": 1_795_000_000,
    "batch_id": None, "status": "processed", "speed_processed": "normal",
    "speed_requested": "normal",
}  # fmt: skip
RAZORPAY_DISPUTE: dict[str, Any] = {
    "id": "disp_1", "entity": "dispute", "payment_id": "pay_1", "amount": 100, "currency": "INR",
    "amount_deducted": 0, "reason_code": "chargeback", "respond_by": 1_795_000_000,
    "status": "open", "phase": "chargeback", "created_at": 1_794_000_000, "evidence": {},
}  # fmt: skip
STRIPE_REFUND: dict[str, Any] = {
    "id": "re_1", "object": "refund", "amount": 100, "charge": "ch_1", "currency": "inr",
    "metadata": {"receipt": OURS}, "payment_intent": "pi_1", "status": "succeeded",
}  # fmt: skip
STRIPE_DISPUTE: dict[str, Any] = {
    "id": "dp_1", "object": "dispute", "amount": 100, "balance_transactions": [{"id": "txn_1"}],
    "charge": "ch_1", "currency": "inr", "evidence_details": {"due_by": 1_795_000_000},
    "payment_intent": "pi_1", "reason": "fraudulent", "status": "needs_response",
    "payment_method_details": {"card": {"case_type": "chargeback"}, "type": "card"},
}  # fmt: skip
NOT_OURS = [None, "", "asked-on-the-phone", 17, ["ref_1"], {"receipt": "ref_1"}]


@pytest.mark.parametrize(
    ("status", "seen"),
    [("pending", "submitted"), ("processed", "processed"), ("failed", "failed")],
)
def test_a_refund_at_razorpay_stands_by_its_status(status: str, seen: str) -> None:
    assert razorpay.refund_facts(RAZORPAY_REFUND | {"status": status}).seen == seen


@pytest.mark.parametrize(
    ("status", "seen"),
    [
        ("pending", "submitted"),
        ("requires_action", "submitted"),
        ("succeeded", "processed"),
        ("failed", "failed"),
        ("canceled", "failed"),
    ],
)
def test_a_refund_at_stripe_stands_by_its_status(status: str, seen: str) -> None:
    assert stripe.refund_facts(STRIPE_REFUND | {"status": status}).seen == seen


def test_our_receipt_is_recognised() -> None:
    assert razorpay.refund_facts(RAZORPAY_REFUND).receipt == OURS
    assert stripe.refund_facts(STRIPE_REFUND).receipt == OURS


@pytest.mark.parametrize("receipt", NOT_OURS)
def test_a_receipt_of_somebody_else_is_none(receipt: object) -> None:
    at_razorpay = razorpay.refund_facts(RAZORPAY_REFUND | {"receipt": receipt})
    at_stripe = stripe.refund_facts(STRIPE_REFUND | {"metadata": {"receipt": receipt}})

    assert (at_razorpay.receipt, at_stripe.receipt) == (None, None)


@pytest.mark.parametrize("metadata", [None, {}, [], "ref_1"])
def test_metadata_without_a_receipt_has_none(metadata: object) -> None:
    assert stripe.refund_facts(STRIPE_REFUND | {"metadata": metadata}).receipt is None


@pytest.mark.parametrize("phase", ["fraud", "retrieval"])
def test_an_inquiry_at_razorpay_moves_no_money_until_some_is_deducted(phase: str) -> None:
    asked = razorpay.dispute_facts(RAZORPAY_DISPUTE | {"phase": phase})
    taken = razorpay.dispute_facts(RAZORPAY_DISPUTE | {"phase": phase, "amount_deducted": 100})

    assert (asked.moves_money, asked.phase) == (False, phase)
    assert taken.moves_money


@pytest.mark.parametrize("phase", ["chargeback", "pre_arbitration", "arbitration", "new", None])
def test_any_other_phase_is_a_claim_for_the_money(phase: str | None) -> None:
    assert razorpay.dispute_facts(RAZORPAY_DISPUTE | {"phase": phase}).moves_money


def test_what_is_good_to_know_of_a_dispute_may_be_missing() -> None:
    least = {"id": "disp_1", "payment_id": "pay_1", "amount": 100, "status": "open"}
    at_razorpay = razorpay.dispute_facts(least)
    at_stripe = stripe.dispute_facts(
        {"id": "dp_1", "payment_intent": "pi_1", "amount": 100, "status": "needs_response"}
    )

    for dispute in (at_razorpay, at_stripe):
        assert dispute.moves_money
        assert (dispute.phase, dispute.reason_code, dispute.respond_by) == (None, None, None)


def test_an_answer_is_due_at_a_time_with_a_zone() -> None:
    due = datetime.fromtimestamp(1_795_000_000, UTC)

    assert razorpay.dispute_facts(RAZORPAY_DISPUTE).respond_by == due
    assert stripe.dispute_facts(STRIPE_DISPUTE).respond_by == due


@pytest.mark.parametrize(
    ("status", "seen", "moves_money"),
    [
        ("warning_needs_response", "open", False),
        ("warning_under_review", "under_review", False),
        ("warning_closed", "closed", False),
        ("needs_response", "open", True),
        ("under_review", "under_review", True),
        ("appeal_needs_response", "under_review", True),
        ("appeal_under_review", "under_review", True),
        ("won", "won", True),
        ("lost", "lost", True),
        ("prevented", "closed", True),
    ],
)
def test_a_dispute_at_stripe_stands_by_its_status(
    status: str, seen: str, moves_money: bool
) -> None:
    dispute = stripe.dispute_facts(STRIPE_DISPUTE | {"status": status})

    assert (dispute.seen, dispute.moves_money) == (seen, moves_money)


def test_where_nothing_was_withdrawn_no_money_moved() -> None:
    assert not stripe.dispute_facts(STRIPE_DISPUTE | {"balance_transactions": []}).moves_money
    assert stripe.dispute_facts(STRIPE_DISPUTE | {"balance_transactions": None}).moves_money


def test_an_intent_may_be_expanded() -> None:
    intent = {"id": "pi_1", "object": "payment_intent", "status": "succeeded"}

    assert stripe.refund_facts(STRIPE_REFUND | {"payment_intent": intent}).payment_id == "pi_1"
    assert stripe.dispute_facts(STRIPE_DISPUTE | {"payment_intent": intent}).payment_id == "pi_1"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.data())
def test_whatever_stands_in_a_field_it_is_read_or_named(data: st.DataObject) -> None:
    for read, good in (
        (razorpay.refund_facts, RAZORPAY_REFUND),
        (razorpay.dispute_facts, RAZORPAY_DISPUTE),
        (stripe.refund_facts, STRIPE_REFUND),
        (stripe.dispute_facts, STRIPE_DISPUTE),
    ):
        field = data.draw(st.sampled_from(sorted(good)))
        with suppress(UnreadableAnswer):
            read(good | {field: data.draw(json_values)})


def test_a_razorpay_refund_of_the_time_without_states_is_under_way() -> None:
    entity = {"id": "rfnd_1", "payment_id": "pay_1", "amount": 22_500, "receipt": None}

    assert razorpay.refund_facts(entity).seen == "submitted"

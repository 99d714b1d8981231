"""Stripe's sessions and intents as they come: expanded or not, paid, failed, late, or foreign."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.payments import OrderFacts, PaymentFacts, Seen
from gateways.errors import UnreadableAnswer
from gateways.stripe.payment_facts import intent_facts, session_facts

CHARGE: dict[str, Any] = {
    "id": "ch_1", "object": "charge", "amount": 500_000, "amount_captured": 500_000,
    "amount_refunded": 120_000, "created": 1_795_000_300, "currency": "inr", "paid": True,
    "billing_details": {"name": "The Payer", "email": "payer@example.com"},
    "payment_method_details": {"type": "upi", "upi": {"vpa": "payer@bank"}},
}  # fmt: skip
INTENT: dict[str, Any] = {
    "id": "pi_1", "object": "payment_intent", "amount": 500_000, "amount_capturable": 0,
    "amount_received": 500_000, "created": 1_795_000_200, "currency": "inr",
    "last_payment_error": None, "latest_charge": "ch_1", "livemode": False,
    "metadata": {"receipt": "R-1", "account": "clinic:42"}, "payment_method_types": ["card"],
    "status": "succeeded",
}  # fmt: skip
SESSION: dict[str, Any] = {
    "id": "cs_test_1", "object": "checkout.session", "amount_subtotal": 500_000,
    "amount_total": 500_000, "client_reference_id": "R-1", "created": 1_795_000_000,
    "currency": "inr", "customer_details": {"email": "payer@example.com"},
    "metadata": {"receipt": "R-1", "account": "clinic:42"}, "mode": "payment",
    "payment_intent": "pi_1", "payment_link": None, "payment_method_types": ["card", "upi"],
    "payment_status": "paid", "status": "complete", "url": None,
}  # fmt: skip
DECLINED = {
    "code": "card_declined", "decline_code": "insufficient_funds", "type": "card_error",
    "message": "The payer has no money.",
}  # fmt: skip
FAILED = INTENT | {
    "status": "requires_payment_method",
    "amount_received": 0,
    "last_payment_error": DECLINED,
}


def payment_of(**changes: object) -> PaymentFacts | None:
    return session_facts(SESSION | changes)[1]


# Sessions


def test_a_paid_session_is_an_order_and_its_payment() -> None:
    order, payment = session_facts(SESSION)

    assert order == OrderFacts("stripe", "cs_test_1", "R-1", 500_000, "INR")
    assert payment == PaymentFacts(
        "stripe", "pi_1", Seen.CAPTURED, 500_000, "INR", order_id="cs_test_1", receipt="R-1"
    )


def test_an_expanded_intent_tells_more() -> None:
    payment = payment_of(payment_intent=INTENT | {"latest_charge": CHARGE})

    assert payment == PaymentFacts(
        "stripe", "pi_1", Seen.CAPTURED, 500_000, "INR", order_id="cs_test_1", receipt="R-1",
        refunded_paise=120_000, method="upi",
        happened_at=datetime.fromtimestamp(1_795_000_300, UTC),
    )  # fmt: skip
    assert "payer" not in repr(payment).lower()


def test_an_open_session_has_a_page_and_no_payment() -> None:
    order, payment = session_facts(
        SESSION
        | {
            "status": "open",
            "payment_status": "unpaid",
            "payment_intent": None,
            "url": "https://checkout.example/c/pay/cs_test_1#x",
        }
    )

    assert order.checkout_url == "https://checkout.example/c/pay/cs_test_1#x"
    assert (order.ended, payment) == (False, None)


@pytest.mark.parametrize(
    ("status", "payment_status", "intent", "seen"),
    [
        ("complete", "paid", "pi_1", Seen.CAPTURED),
        ("complete", "paid", INTENT, Seen.CAPTURED),
        ("complete", "unpaid", "pi_1", Seen.CREATED),
        ("complete", "unpaid", INTENT | {"status": "processing"}, Seen.CREATED),
        ("complete", "unpaid", FAILED, Seen.FAILED),
        ("open", "unpaid", "pi_1", Seen.CREATED),
        ("open", "unpaid", FAILED, Seen.FAILED),
        ("expired", "unpaid", "pi_1", Seen.FAILED),
        ("expired", "unpaid", INTENT | {"status": "canceled"}, Seen.FAILED),
        ("expired", "unpaid", None, None),
        ("complete", "no_payment_required", None, None),
    ],
)
def test_what_a_session_says_of_its_payment(
    status: str, payment_status: str, intent: object, seen: Seen | None
) -> None:
    order, payment = session_facts(
        SESSION | {"status": status, "payment_status": payment_status, "payment_intent": intent}
    )

    assert (payment.seen if payment else None) == seen
    assert order.ended == (status == "expired")
    if payment:
        assert (payment.order_id, payment.receipt) == ("cs_test_1", "R-1")
        assert payment.amount_paise == 500_000


def test_what_was_paid_is_what_the_session_says() -> None:
    payment = payment_of(amount_total=250_000, payment_intent=INTENT)

    assert payment is not None
    assert payment.amount_paise == 250_000


@pytest.mark.parametrize(
    ("changes", "receipt"),
    [
        ({}, "R-1"),
        ({"client_reference_id": None}, "R-1"),
        ({"client_reference_id": "other"}, "R-1"),
        ({"metadata": {}}, "R-1"),
        ({"metadata": None}, "R-1"),
        ({"metadata": {"receipt": ""}}, "R-1"),
        ({"metadata": {}, "client_reference_id": None}, None),
        # In the address of a payment link the customer can write a reference.
        ({"metadata": {}, "payment_link": "plink_1"}, None),
    ],
)
def test_a_receipt_is_one_that_only_we_can_have_written(
    changes: dict[str, object], receipt: str | None
) -> None:
    order, payment = session_facts(SESSION | changes)

    assert order.receipt == receipt
    assert payment is not None
    assert payment.receipt == receipt


# Intents


def test_a_succeeded_intent_is_read() -> None:
    assert intent_facts(INTENT) == PaymentFacts(
        "stripe", "pi_1", Seen.CAPTURED, 500_000, "INR", receipt="R-1", method="card",
        happened_at=datetime.fromtimestamp(1_795_000_200, UTC),
    )  # fmt: skip


def test_of_an_intent_that_succeeded_counts_what_was_received() -> None:
    assert intent_facts(INTENT | {"amount_received": 400_000}).amount_paise == 400_000


def test_a_declined_intent_tells_why_in_codes() -> None:
    facts = intent_facts(FAILED)

    assert (facts.seen, facts.amount_paise) == (Seen.FAILED, 500_000)
    assert (facts.error_code, facts.error_reason) == ("card_declined", "insufficient_funds")


@pytest.mark.parametrize(
    ("status", "seen"),
    [
        ("requires_payment_method", Seen.CREATED), ("requires_confirmation", Seen.CREATED),
        ("requires_action", Seen.CREATED), ("processing", Seen.CREATED),
        ("one_of_tomorrow", Seen.CREATED), ("requires_capture", Seen.AUTHORIZED),
        ("succeeded", Seen.CAPTURED), ("canceled", Seen.FAILED),
    ],
)  # fmt: skip
def test_the_states_of_an_intent(status: str, seen: Seen) -> None:
    assert intent_facts(INTENT | {"status": status}).seen is seen


def test_only_what_decides_must_be_there() -> None:
    least = {"id": "pi_1", "amount": 100, "currency": "inr", "status": "processing"}
    assert intent_facts(least) == PaymentFacts("stripe", "pi_1", Seen.CREATED, 100, "INR")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", None), ("id", "p" * 201), ("id", "pi\n"), ("amount_received", None),
        ("amount_received", "500000"), ("amount_received", True), ("amount_received", -1),
        ("currency", None), ("currency", "rupees"), ("status", None), ("status", []),
    ],
)  # fmt: skip
def test_what_decides_about_an_intent_must_be_what_it_has_to_be(field: str, value: object) -> None:
    with pytest.raises(UnreadableAnswer, match=rf"payment_intent\.{field}"):
        intent_facts(INTENT | {field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", None), ("amount_total", None), ("amount_total", 1.5), ("currency", None),
        ("payment_status", None), ("payment_status", "perhaps"),
        ("payment_intent", None), ("payment_intent", 5), ("payment_intent", ""),
    ],
)  # fmt: skip
def test_so_must_what_decides_about_a_session(field: str, value: object) -> None:
    with pytest.raises(UnreadableAnswer, match=rf"checkout\.session\.{field}"):
        session_facts(SESSION | {field: value})


anything = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | (
        st.sampled_from(
            ["\ud800", "\x00", "9" * 5_000, [], {}, [[]], {"id": None}, ["card"], INTENT]
        )
    )
)


@given(st.dictionaries(st.sampled_from([*SESSION, *INTENT, "more"]), anything))
def test_whatever_comes_is_read_or_unreadable(changes: dict[str, object]) -> None:
    with suppress(UnreadableAnswer):
        session_facts(SESSION | changes)
    with suppress(UnreadableAnswer):
        intent_facts(INTENT | changes)
    with suppress(UnreadableAnswer):
        intent_facts(INTENT | {"latest_charge": CHARGE | changes, "last_payment_error": changes})

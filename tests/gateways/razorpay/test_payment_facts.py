"""Razorpay's entities as they come: with more fields, fewer fields, and fields of other types."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.payments import OrderFacts, PaymentFacts, Seen
from gateways.errors import UnreadableAnswer
from gateways.razorpay.payment_facts import order_facts, payment_facts

PAYMENT: dict[str, Any] = {
    "id": "pay_Sw0eHbmAJ1dXgT", "entity": "payment", "amount": 150_000, "currency": "INR",
    "base_amount": 150_000, "status": "captured", "order_id": "order_Sw0eC4HaTyLmZK",
    "invoice_id": None, "international": False, "method": "upi", "amount_refunded": 0,
    "refund_status": None, "captured": True, "description": "Credit top-up", "card_id": None,
    "bank": None, "wallet": None, "vpa": "payer@bank", "email": "payer@example.com",
    "contact": "+919999999999", "notes": {"receipt": "not-ours"}, "fee": 3_540, "tax": 540,
    "error_code": None, "error_description": None, "error_source": None, "error_step": None,
    "error_reason": None, "acquirer_data": {"rrn": "634512345678"}, "created_at": 1_795_000_000,
    "reward": None, "upi": {"vpa": "payer@bank", "flow": "collect"},
}  # fmt: skip
LEAST = {"id": "pay_1", "amount": 100, "currency": "INR", "status": "created"}
ORDER: dict[str, Any] = {
    "id": "order_Sw0eC4HaTyLmZK", "entity": "order", "amount": 150_000, "amount_paid": 0,
    "amount_due": 150_000, "currency": "INR", "receipt": "R-1", "offer_id": None,
    "status": "created", "attempts": 0, "notes": [], "created_at": 1_795_000_000,
    "description": None, "checkout": None,
}  # fmt: skip


def read(**changes: object) -> PaymentFacts:
    return payment_facts(PAYMENT | changes)


def test_a_captured_payment_is_read() -> None:
    assert payment_facts(PAYMENT, receipt="R-1") == PaymentFacts(
        gateway="razorpay",
        payment_id="pay_Sw0eHbmAJ1dXgT",
        seen=Seen.CAPTURED,
        amount_paise=150_000,
        currency="INR",
        order_id="order_Sw0eC4HaTyLmZK",
        receipt="R-1",
        refunded_paise=0,
        method="upi",
        fee_paise=3_540,
        tax_paise=540,
        happened_at=datetime.fromtimestamp(1_795_000_000, UTC),
    )


def test_an_order_is_read() -> None:
    assert order_facts(ORDER) == OrderFacts(
        "razorpay", "order_Sw0eC4HaTyLmZK", "R-1", 150_000, "INR"
    )


def test_only_what_decides_must_be_there() -> None:
    assert payment_facts(LEAST) == PaymentFacts("razorpay", "pay_1", Seen.CREATED, 100, "INR")
    least = {"id": "order_1", "amount": 100, "currency": "INR"}
    assert order_facts(least) == OrderFacts("razorpay", "order_1", None, 100, "INR")


def test_what_the_browser_wrote_is_not_our_receipt() -> None:
    assert read(notes={"receipt": "R-2"}).receipt is None
    assert read(notes=[]).receipt is None


@pytest.mark.parametrize("flag", [True, False, None, "1", "0", "", 7])
@pytest.mark.parametrize("status", ["created", "authorized", "captured", "failed"])
def test_the_status_decides_whatever_the_flag_says(status: str, flag: object) -> None:
    assert read(status=status, captured=flag).seen == Seen(status)


@pytest.mark.parametrize(
    ("captured", "seen"),
    [
        (True, Seen.CAPTURED), ("1", Seen.CAPTURED), (1, Seen.CAPTURED),
        (False, Seen.RETURNED), ("0", Seen.RETURNED), (0, Seen.RETURNED),
    ],
)  # fmt: skip
def test_of_a_refunded_payment_the_flag_tells_whether_it_was_ours(
    captured: object, seen: Seen
) -> None:
    facts = read(status="refunded", captured=captured, amount_refunded=150_000)

    assert (facts.seen, facts.refunded_paise) == (seen, 150_000)


@pytest.mark.parametrize("captured", [None, "", "yes", 2, [], {}])
def test_a_refunded_payment_without_the_flag_is_guessed_by_nobody(captured: object) -> None:
    with pytest.raises(UnreadableAnswer, match=r"payment\.captured"):
        read(status="refunded", captured=captured)


@pytest.mark.parametrize(
    ("field", "value", "attribute"),
    [
        ("order_id", None, "order_id"),
        ("method", None, "method"),
        ("method", "", "method"),
        ("method", "m" * 51, "method"),
        ("method", "up\ni", "method"),
        ("method", 5, "method"),
        ("fee", None, "fee_paise"),
        ("tax", None, "tax_paise"),
        ("error_code", "", "error_code"),
        ("error_code", "The payer said: no", "error_code"),
        ("error_reason", "x" * 101, "error_reason"),
        ("error_reason", ["x"], "error_reason"),
        ("created_at", None, "happened_at"),
        ("created_at", "1795000000", "happened_at"),
        ("created_at", True, "happened_at"),
        ("created_at", 946_684_799, "happened_at"),
        ("created_at", 4_102_444_800, "happened_at"),
        ("created_at", 10**30, "happened_at"),
    ],
)
def test_what_is_good_to_have_is_left_out_where_it_is_none(
    field: str, value: object, attribute: str
) -> None:
    assert getattr(read(**{field: value}), attribute) is None


def test_a_failure_is_told_by_its_codes() -> None:
    facts = read(
        status="failed", error_code="BAD_REQUEST_ERROR", error_reason="payment_timed_out",
        error_description="payer@bank did not answer",
    )  # fmt: skip

    assert (facts.error_code, facts.error_reason) == ("BAD_REQUEST_ERROR", "payment_timed_out")
    assert "payer@bank" not in repr(facts)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", None), ("id", ""), ("id", " "), ("id", 5), ("id", "pay\n1"), ("id", "p" * 201),
        ("id", "pay_\ud800"), ("order_id", ""), ("order_id", []), ("order_id", "o" * 201),
        ("amount", None), ("amount", "100"), ("amount", 100.0), ("amount", True), ("amount", -1),
        ("amount", 2**53), ("amount_refunded", -1), ("amount_refunded", "0"), ("currency", None),
        ("currency", ""), ("currency", "RS"), ("currency", "IN\u0052\u0301"),
        ("currency", 5), ("status", None), ("status", ""), ("status", "paid"),
        ("status", ["captured"]), ("status", True),
    ],
)  # fmt: skip
def test_what_decides_must_be_what_it_has_to_be(field: str, value: object) -> None:
    with pytest.raises(UnreadableAnswer) as caught:
        read(**{field: value})

    assert caught.value.field == f"payment.{field}"
    if isinstance(value, str) and len(value) > 3:
        assert value not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("id", None), ("id", {}), ("amount", None), ("amount", -1), ("currency", None)],
)
def test_so_must_what_decides_about_an_order(field: str, value: object) -> None:
    with pytest.raises(UnreadableAnswer, match=rf"order\.{field}"):
        order_facts(ORDER | {field: value})


@pytest.mark.parametrize("receipt", [None, "", 5, "R\n1", "r" * 201])
def test_a_receipt_that_cannot_be_ours_is_none(receipt: object) -> None:
    assert order_facts(ORDER | {"receipt": receipt}).receipt is None


def test_the_currency_is_upper_case() -> None:
    assert read(currency="inr").currency == "INR"


anything = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | (st.sampled_from(["\ud800", "\x00", "9" * 5_000, [], {}, [[]], {"id": None}, 10**400]))
)


@given(st.dictionaries(st.sampled_from([*PAYMENT, "more"]), anything))
def test_whatever_comes_is_read_or_unreadable(changes: dict[str, object]) -> None:
    for read_it in (payment_facts, order_facts):
        with suppress(UnreadableAnswer):
            read_it(PAYMENT | changes)

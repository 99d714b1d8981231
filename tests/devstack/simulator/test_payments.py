"""Razorpay's payments: attempts on an order, capture, and what the switches make of them."""

from collections.abc import Callable
from typing import Any

import pytest
import razorpay
from razorpay.errors import BadRequestError

from tests.devstack.simulator.conftest import Control, Raw
from tests.devstack.simulator.receiver import wait_until

Make = Callable[..., Any]


def test_a_success_pays_the_order_and_is_signed_for_the_sdk(
    gateway: razorpay.Client, control: Control, new_order: Make
) -> None:
    order = new_order(notes={"account": "clinic:42"})

    paid = control.pay(order["id"])

    assert paid.pop("status") == "captured"
    assert gateway.utility.verify_payment_signature(paid)
    payment = gateway.payment.fetch(paid["razorpay_payment_id"])
    assert (payment["status"], payment["captured"]) == ("captured", True)
    assert (payment["amount"], payment["currency"]) == (500_000, "INR")
    assert (payment["fee"], payment["tax"]) == (11_800, 1_800)
    assert payment["notes"] == {"account": "clinic:42"}
    order = gateway.order.fetch(order["id"])
    assert (order["status"], order["amount_paid"], order["amount_due"]) == ("paid", 500_000, 0)
    assert order["attempts"] == 1


def test_a_failure_leaves_the_order_open_for_another_try(
    gateway: razorpay.Client, control: Control, new_order: Make
) -> None:
    order_id = new_order()["id"]

    failed = control.pay(order_id, "failure")

    assert failed["status"] == "failed"
    assert "razorpay_signature" not in failed
    payment = gateway.payment.fetch(failed["razorpay_payment_id"])
    assert (payment["error_code"], payment["captured"]) == ("BAD_REQUEST_ERROR", False)
    assert gateway.order.fetch(order_id)["status"] == "attempted"
    assert control.pay(order_id)["status"] == "captured"
    order = gateway.order.fetch(order_id)
    assert (order["status"], order["attempts"]) == ("paid", 2)


@pytest.mark.parametrize("how", [{"payment": {"capture": "manual"}}, {"payment_capture": 0}])
def test_a_payment_on_a_manual_order_waits_for_capture(
    gateway: razorpay.Client, control: Control, new_order: Make, how: dict[str, Any]
) -> None:
    order_id = new_order(**how)["id"]
    payment_id = control.pay(order_id)["razorpay_payment_id"]
    payment = gateway.payment.fetch(payment_id)
    assert (payment["status"], payment["fee"]) == ("authorized", None)

    with pytest.raises(BadRequestError, match="must be equal to the amount authorized"):
        gateway.payment.capture(payment_id, 100, {"currency": "INR"})
    captured = gateway.payment.capture(payment_id, 500_000, {"currency": "INR"})

    assert (captured["status"], captured["captured"]) == ("captured", True)
    assert gateway.order.fetch(order_id)["status"] == "paid"
    with pytest.raises(BadRequestError, match="This payment has already been captured"):
        gateway.payment.capture(payment_id, 500_000, {"currency": "INR"})


def test_only_what_is_authorized_on_an_order_can_be_captured(
    gateway: razorpay.Client, control: Control, new_order: Make
) -> None:
    failed = control.pay(new_order()["id"], "failure")["razorpay_payment_id"]
    orderless = control("POST", "foreign-payments", {"with_order": False})
    assert orderless["status"] == "authorized"

    with pytest.raises(BadRequestError, match="authorized and not yet captured"):
        gateway.payment.capture(failed, 500_000, {"currency": "INR"})
    with pytest.raises(BadRequestError, match="no order"):
        gateway.payment.capture(orderless["payment_id"], 49_900, {"currency": "INR"})


def test_while_one_payment_is_authorized_another_is_refused(
    control: Control, new_order: Make
) -> None:
    order_id = new_order()["id"]
    control.pay(order_id, "authorized")

    refusal = control("POST", "pay", {"order_id": order_id}, status=400)

    assert "another payment on this order" in refusal["error"]


def test_an_authorization_that_nobody_captures_is_given_back(
    gateway: razorpay.Client, control: Control, new_order: Make
) -> None:
    payment_id = control.pay(new_order()["id"], "authorized")["razorpay_payment_id"]

    control("POST", "expire-authorization", {"payment_id": payment_id})

    payment = gateway.payment.fetch(payment_id)
    assert (payment["status"], payment["captured"]) == ("refunded", False)
    assert gateway.payment.fetch_multiple_refund(payment_id)["items"][0]["amount"] == 500_000


def test_notes_and_card_of_a_payment(
    gateway: razorpay.Client, control: Control, new_order: Make
) -> None:
    card = control.pay(new_order()["id"], method="card")["razorpay_payment_id"]
    upi = control.pay(new_order()["id"])["razorpay_payment_id"]

    assert gateway.payment.edit(card, {"notes": {"a": "b"}})["notes"] == {"a": "b"}
    assert gateway.payment.fetch(card, {"expand[]": "card"})["card"]["last4"] == "1007"
    assert "card" not in gateway.payment.fetch(card)
    assert gateway.payment.fetchCardDetails(card)["entity"] == "card"
    with pytest.raises(BadRequestError):
        gateway.payment.fetchCardDetails(upi)
    with pytest.raises(BadRequestError, match="does not exist"):
        gateway.payment.fetch("pay_00000000000000")


def test_the_list_lags_while_the_order_is_right_at_once(
    gateway: razorpay.Client, control: Control, new_order: Make
) -> None:
    control.set(list_lag_seconds=300, speed=1)
    order_id = new_order()["id"]
    control.pay(order_id)

    assert gateway.payment.all()["count"] == 0
    assert gateway.order.payments(order_id)["count"] == 1
    control.set(list_lag_seconds=0)
    assert gateway.payment.all({"count": 100})["count"] == 1


def test_a_late_authorization_fails_first(
    gateway: razorpay.Client, control: Control, new_order: Make
) -> None:
    control.set(late_authorization=1, late_authorization_seconds=6_000)
    order_id = new_order()["id"]

    paid = control.pay(order_id)

    assert paid["status"] == "failed"
    payment_id = paid["razorpay_payment_id"]
    wait_until(lambda: gateway.payment.fetch(payment_id)["status"] == "captured")
    assert gateway.payment.fetch(payment_id)["error_code"] is None
    assert gateway.order.fetch(order_id)["status"] == "paid"


def test_a_late_authorization_of_an_order_paid_meanwhile_is_given_back(
    gateway: razorpay.Client, control: Control, new_order: Make
) -> None:
    control.set(speed=1)
    order_id = new_order()["id"]
    late = control.pay(order_id, "late_authorization")["razorpay_payment_id"]
    assert control.pay(order_id)["status"] == "captured"

    assert control("POST", "authorize", {"payment_id": late})["status"] == "refunded"

    assert gateway.payment.fetch(late)["captured"] is False
    assert control("POST", "authorize", {"payment_id": late})["status"] == "refunded"


@pytest.mark.parametrize(
    ("switch", "status", "captured"),
    [("auto_refund", "refunded", False), ("capture", "captured", True)],
)
def test_a_second_payment_on_a_paid_order(
    gateway: razorpay.Client, control: Control, new_order: Make, switch: str, status: str,
    captured: bool,
) -> None:  # fmt: skip
    control.set(second_payment=switch)
    order_id = new_order()["id"]
    control.pay(order_id)

    second = control.pay(order_id)

    payment = gateway.payment.fetch(second["razorpay_payment_id"])
    assert (payment["status"], payment["captured"]) == (status, captured)
    assert gateway.order.fetch(order_id)["amount_paid"] == 500_000


def test_a_second_payment_may_be_refused(control: Control, new_order: Make) -> None:
    control.set(second_payment="refuse")
    order_id = new_order()["id"]
    control.pay(order_id)
    assert "already done" in control("POST", "pay", {"order_id": order_id}, status=400)["error"]


def test_switches_distort_a_payment(
    gateway: razorpay.Client, control: Control, new_order: Make
) -> None:
    control.set(authorized_only=1)
    left = control.pay(new_order()["id"])
    assert left["status"] == "authorized"
    control.set(authorized_only=0, short_payment=1)
    short_order = new_order()["id"]
    short = gateway.payment.fetch(control.pay(short_order)["razorpay_payment_id"])
    assert (short["amount"], short["status"]) == (250_000, "captured")
    order = gateway.order.fetch(short_order)
    assert (order["status"], order["amount_due"]) == ("attempted", 250_000)
    control.set(short_payment=0, other_currency=1)
    dollars = gateway.payment.fetch(control.pay(new_order()["id"])["razorpay_payment_id"])
    assert (dollars["amount"], dollars["currency"]) == (500_000, "USD")


def test_foreign_payments_appear_beside_ours(
    gateway: razorpay.Client, control: Control, new_order: Make
) -> None:
    control.set(foreign_payment=1)
    ours = {control.pay(new_order()["id"])["razorpay_payment_id"] for _ in range(6)}

    foreign = [p for p in gateway.payment.all({"count": 100})["items"] if p["id"] not in ours]

    assert len(foreign) == 6
    assert {p["order_id"] is None for p in foreign} == {True, False}
    for payment in foreign:
        if payment["order_id"]:
            with pytest.raises(BadRequestError, match="does not exist"):
                gateway.order.fetch(payment["order_id"])


def test_one_payment_of_another_amount(
    gateway: razorpay.Client, control: Control, new_order: Make, raw: Raw
) -> None:
    paid = control.pay(new_order()["id"], amount=600_000, currency="USD", method="wallet")
    _, payment = raw("GET", f"/payments/{paid['razorpay_payment_id']}")
    assert (payment["amount"], payment["currency"], payment["wallet"]) == (
        600_000,
        "USD",
        "mobikwik",
    )
    control("POST", "pay", {"order_id": "order_00000000000000"}, status=400)
    control("POST", "pay", {"order_id": 1}, status=400)
    control("POST", "pay", {"order_id": "x", "currency": 5}, status=400)
    control("POST", "pay", {"order_id": "x", "outcome": "luck"}, status=400)

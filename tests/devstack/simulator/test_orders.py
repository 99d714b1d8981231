"""Razorpay's orders, through its own SDK."""

from collections.abc import Callable
from typing import Any

import pytest
import razorpay
from razorpay.errors import BadRequestError

from tests.devstack.simulator.conftest import Control, Raw


def test_an_order_is_what_the_documentation_says(gateway: razorpay.Client) -> None:
    order = gateway.order.create(
        {"amount": 500_000, "currency": "INR", "receipt": "topup-1", "notes": {"account": "c:1"}}
    )

    assert list(order) == [
        "id", "entity", "amount", "amount_paid", "amount_due", "currency", "receipt", "offer_id",
        "status", "attempts", "notes", "created_at",
    ]  # fmt: skip
    prefix, _, rest = order["id"].partition("_")
    assert (prefix, len(rest), rest.isalnum()) == ("order", 14, True)
    assert (order["status"], order["attempts"], order["amount_due"]) == ("created", 0, 500_000)
    assert gateway.order.fetch(order["id"]) == order


def test_empty_notes_are_an_array_and_can_be_filled(gateway: razorpay.Client) -> None:
    order = gateway.order.create({"amount": 100, "currency": "INR"})
    assert order["notes"] == []

    assert gateway.order.edit(order["id"], {"notes": {"a": "b"}})["notes"] == {"a": "b"}
    assert gateway.order.fetch(order["id"])["notes"] == {"a": "b"}


def test_a_receipt_serves_once_and_finds_its_order(gateway: razorpay.Client) -> None:
    body = {"amount": 500_000, "currency": "INR", "receipt": "topup-2"}
    order = gateway.order.create(body)
    gateway.order.create({**body, "receipt": "topup-3"})

    with pytest.raises(BadRequestError, match=r"^Order receipt should be unique\.$"):
        gateway.order.create(body)
    assert gateway.order.all({"receipt": "topup-2"})["items"] == [order]
    assert gateway.order.all({"receipt": "none"}) == {
        "entity": "collection",
        "count": 0,
        "items": [],
    }


def test_unique_receipt_makes_a_repeat_safe(gateway: razorpay.Client) -> None:
    body = {"amount": 500_000, "currency": "INR", "receipt": "topup-4", "unique_receipt": True}
    order = gateway.order.create(body)

    assert gateway.order.create(body) == order
    with pytest.raises(BadRequestError, match="Order receipt should be unique"):
        gateway.order.create({**body, "amount": 100})


def test_unique_receipt_may_be_unknown(
    gateway: razorpay.Client, control: Control, raw: Raw
) -> None:
    control.set(unique_receipt=False)
    body = {"amount": 500_000, "currency": "INR", "receipt": "topup-5", "unique_receipt": True}

    status, answer = raw("POST", "/orders", body)

    assert (status, answer["error"]["reason"]) == (400, "extra_field_sent")
    assert answer["error"]["description"] == (
        "unique_receipt is/are not required and should not be sent"
    )
    assert gateway.order.all()["count"] == 0


@pytest.mark.parametrize(
    ("change", "description", "reason"),
    [
        ({"amount": 99}, "Order amount less than minimum amount allowed",
         "amount_less_than_minimum_amount"),
        ({"amount": 100.5}, "The amount must be an integer.", "input_validation_failed"),
        ({"amount": True}, "The amount must be an integer.", "input_validation_failed"),
        ({"amount": None}, "amount: is required.", "input_validation_failed"),
        ({"currency": None}, "The currency field is required.", "input_validation_failed"),
        ({"currency": "rupee"}, "Currency is not supported", "input_validation_failed"),
        ({"receipt": "r" * 41}, "The receipt may not be greater than 40 characters.",
         "input_validation_failed"),
        ({"receipt": 1}, "The receipt must be a string.", "input_validation_failed"),
        ({"colour": "red"}, "colour is/are not required and should not be sent",
         "extra_field_sent"),
        ({"notes": {str(n): "x" for n in range(16)}},
         "Number of fields in notes should be less than or equal to 15",
         "input_validation_failed"),
        ({"notes": {"a": "x" * 257}}, "The notes value may not be greater than 256 characters.",
         "input_validation_failed"),
        ({"payment": {"capture": "never"}}, "The capture field must be automatic or manual",
         "input_validation_failed"),
        ({"payment": {"capture": "manual", "capture_options": {"manual_expiry_period": 7201}}},
         "The manual expiry period may not be greater than 7200.", "input_validation_failed"),
        ({"payment": {"capture": "automatic", "capture_options": {"automatic_expiry_period": "x"}}},
         "The automatic expiry period must be at least 12.", "input_validation_failed"),
    ],
)  # fmt: skip
def test_a_wrong_order_is_refused_in_the_documented_words(
    raw: Raw, change: dict[str, Any], description: str, reason: str
) -> None:
    body = {"amount": 500_000, "currency": "INR"} | change

    status, answer = raw("POST", "/orders", {k: v for k, v in body.items() if v is not None})

    assert status == 400
    error = answer["error"]
    assert (error["code"], error["source"]) == ("BAD_REQUEST_ERROR", "business")
    assert (error["description"], error["reason"]) == (description, reason)
    assert error["metadata"] == {}


def test_an_unknown_id_is_a_bad_request(gateway: razorpay.Client, raw: Raw) -> None:
    with pytest.raises(BadRequestError, match=r"^The id provided does not exist$"):
        gateway.order.fetch("order_00000000000000")
    assert raw("GET", "/orders/order_00000000000000")[0] == 400
    with pytest.raises(BadRequestError, match=r"^rubbish is not a valid id$"):
        gateway.order.fetch("rubbish")
    with pytest.raises(BadRequestError, match="pay_00000000000000 is not a valid id"):
        gateway.order.fetch("pay_00000000000000")
    assert raw("GET", "/nowhere")[0] == 404


def test_lists_come_in_pages_newest_first(
    gateway: razorpay.Client, new_order: Callable[..., Any]
) -> None:
    ids = [new_order()["id"] for _ in range(12)][::-1]

    assert [o["id"] for o in gateway.order.all()["items"]] == ids[:10]
    rest = gateway.order.all({"count": 100, "skip": 10})
    assert (rest["count"], [o["id"] for o in rest["items"]]) == (2, ids[10:])
    now = gateway.order.fetch(ids[0])["created_at"]
    assert gateway.order.all({"from": now - 60, "to": now})["count"] == 10
    assert gateway.order.all({"from": now + 60})["count"] == 0
    assert gateway.order.all({"to": now - 60})["count"] == 0


@pytest.mark.parametrize(
    ("query", "description"),
    [
        ({"count": 101}, "The count may not be greater than 100."),
        ({"count": 0}, "The count must be at least 1."),
        ({"count": "x"}, "The count must be an integer."),
        ({"from": 1}, "from must be between 946684800 and 4765046400"),
    ],
)
def test_a_wrong_page_is_refused(
    gateway: razorpay.Client, query: dict[str, Any], description: str
) -> None:
    with pytest.raises(BadRequestError) as refusal:
        gateway.order.all(query)
    assert str(refusal.value) == description


def test_an_order_shows_its_payments(
    gateway: razorpay.Client, control: Control, new_order: Callable[..., Any]
) -> None:
    order_id, other_id = new_order()["id"], new_order()["id"]
    control.pay(order_id, "failure", method="card")
    paid = control.pay(order_id, method="card")

    payments = gateway.order.payments(order_id)
    assert [p["status"] for p in payments["items"]] == ["captured", "failed"]
    assert "card" not in payments["items"][0]
    plain = gateway.order.fetch(order_id, {"expand[]": "payments"})["payments"]
    assert plain == payments
    carded = gateway.order.all({"expand[]": "payments.card"})["items"]
    assert carded[0]["id"] == other_id
    assert carded[0]["payments"]["items"] == []
    assert carded[1]["payments"]["items"][0]["id"] == paid["razorpay_payment_id"]
    assert carded[1]["payments"]["items"][0]["card"]["network"] == "Visa"
    assert [o["id"] for o in gateway.order.all({"authorized": 1})["items"]] == [order_id]
    assert [o["id"] for o in gateway.order.all({"authorized": 0})["items"]] == [other_id]

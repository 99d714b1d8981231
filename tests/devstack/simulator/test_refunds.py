"""Razorpay's refunds, disputes and settlements, through its own SDK."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import razorpay
from razorpay.errors import BadRequestError

from tests.devstack.simulator.conftest import Control, Raw
from tests.devstack.simulator.receiver import wait_until

KEY = {"X-Refund-Idempotency": "refund-0001"}


@pytest.fixture
def payment_id(control: Control, new_order: Callable[..., Any]) -> str:
    """A captured payment of Rs 5,000."""
    return str(control.pay(new_order()["id"])["razorpay_payment_id"])


def test_parts_of_a_payment_are_refunded_until_nothing_is_left(
    gateway: razorpay.Client, payment_id: str
) -> None:
    part = gateway.payment.refund(
        payment_id, {"amount": 200_000, "notes": {"why": "asked"}, "receipt": "r-1"}
    )

    assert (part["entity"], part["payment_id"]) == ("refund", payment_id)
    assert (part["status"], part["notes"]) == ("processed", {"why": "asked"})
    payment = gateway.payment.fetch(payment_id)
    assert (payment["status"], payment["refund_status"]) == ("captured", "partial")
    assert payment["amount_refunded"] == 200_000
    with pytest.raises(BadRequestError, match="greater than amount captured"):
        gateway.payment.refund(payment_id, {"amount": 300_001})
    rest = gateway.refund.create({"payment_id": payment_id, "speed": "optimum"})
    assert (rest["amount"], rest["speed_requested"]) == (300_000, "optimum")
    payment = gateway.payment.fetch(payment_id)
    assert (payment["status"], payment["refund_status"]) == ("refunded", "full")
    assert gateway.order.fetch(payment["order_id"])["status"] == "paid"
    with pytest.raises(BadRequestError, match="The payment has been fully refunded already"):
        gateway.payment.refund(payment_id, {})


def test_refunds_are_fetched_and_listed(gateway: razorpay.Client, payment_id: str) -> None:
    one, two = (gateway.payment.refund(payment_id, {"amount": a}) for a in (100, 200))

    assert gateway.refund.fetch(one["id"]) == one
    assert [r["id"] for r in gateway.refund.all()["items"]] == [two["id"], one["id"]]
    assert gateway.payment.fetch_multiple_refund(payment_id, {"count": 1})["items"] == [two]
    assert gateway.payment.fetch_refund_id(payment_id, one["id"]) == one
    assert gateway.refund.edit(one["id"], {"notes": {"a": "b"}})["notes"] == {"a": "b"}
    with pytest.raises(BadRequestError, match="does not exist"):
        gateway.refund.fetch("rfnd_00000000000000")


def test_an_idempotency_key_refunds_once(gateway: razorpay.Client, payment_id: str) -> None:
    first = gateway.payment.refund(payment_id, {"amount": 100}, headers=dict(KEY))

    assert gateway.payment.refund(payment_id, {"amount": 100}, headers=dict(KEY)) == first
    assert gateway.payment.fetch(payment_id)["amount_refunded"] == 100
    with pytest.raises(BadRequestError, match="Different request with the same idempotency key"):
        gateway.payment.refund(payment_id, {"amount": 200}, headers=dict(KEY))
    for wrong in ("short", "with blank in it"):
        with pytest.raises(BadRequestError, match="at least 10 characters"):
            gateway.payment.refund(payment_id, {}, headers={"X-Refund-Idempotency": wrong})


def test_a_twin_may_be_under_way(
    gateway: razorpay.Client, control: Control, payment_id: str
) -> None:
    control.set(refund_in_progress=1)
    with pytest.raises(BadRequestError, match="is still in progress"):
        gateway.payment.refund(payment_id, {"amount": 100}, headers=dict(KEY))
    assert gateway.refund.all()["count"] == 0


def test_what_cannot_be_refunded(
    gateway: razorpay.Client, control: Control, new_order: Callable[..., Any], payment_id: str
) -> None:
    failed = control.pay(new_order()["id"], "failure")["razorpay_payment_id"]
    with pytest.raises(BadRequestError, match="should be captured for action"):
        gateway.payment.refund(failed, {})
    with pytest.raises(BadRequestError, match=r"The amount must be at least INR 1\.00"):
        gateway.payment.refund(payment_id, {"amount": 99})
    with pytest.raises(BadRequestError, match="speed"):
        gateway.payment.refund(payment_id, {"speed": "light"})
    control.set(low_balance=True)
    with pytest.raises(BadRequestError, match="enough balance"):
        gateway.payment.refund(payment_id, {})


@pytest.mark.parametrize(("state", "left"), [("pending", 0), ("failed", 500_000)])
def test_a_refund_may_take_its_time_and_fail(
    gateway: razorpay.Client, control: Control, payment_id: str, state: str, left: int
) -> None:
    control.set(refund_state=state, refund_seconds=2_000)

    refund = gateway.payment.refund(payment_id, {})

    assert refund["status"] == "pending"
    end = "failed" if state == "failed" else "processed"
    wait_until(lambda: gateway.refund.fetch(refund["id"])["status"] == end)
    payment = gateway.payment.fetch(payment_id)
    assert payment["amount"] - payment["amount_refunded"] == left
    assert payment["status"] == ("captured" if left else "refunded")


def test_a_pending_refund_is_finished_by_hand(
    gateway: razorpay.Client, control: Control, payment_id: str
) -> None:
    control.set(refund_state="pending", speed=1)
    refund_id = gateway.payment.refund(payment_id, {})["id"]

    done = control("POST", "finish-refund", {"refund_id": refund_id})

    assert done["status"] == "processed"
    assert len(done["acquirer_data"]["arn"]) == 14


def test_a_dispute_is_opened_contested_and_won(
    gateway: razorpay.Client, control: Control, payment_id: str
) -> None:
    dispute = control("POST", "disputes", {"payment_id": payment_id, "amount": 39_000})

    assert gateway.dispute.fetch(dispute["id"]) == dispute
    assert (dispute["status"], dispute["amount_deducted"]) == ("open", 0)
    assert gateway.dispute.all()["items"] == [dispute]
    expanded = gateway.dispute.fetch(dispute["id"], {"expand[]": "payment"})
    assert expanded["payment"]["id"] == payment_id
    contested = gateway.dispute.contest(dispute["id"], {"action": "submit", "summary": "sold"})
    assert (contested["status"], contested["evidence"]["summary"]) == ("under_review", "sold")
    assert control("POST", f"disputes/{dispute['id']}", {"status": "won"})["amount_deducted"] == 0
    with pytest.raises(BadRequestError, match="is over"):
        gateway.dispute.accept(dispute["id"])


def test_an_accepted_dispute_is_lost(
    gateway: razorpay.Client, control: Control, payment_id: str
) -> None:
    dispute_id = control("POST", "disputes", {"payment_id": payment_id})["id"]

    lost = gateway.dispute.accept(dispute_id)

    assert (lost["status"], lost["amount_deducted"]) == ("lost", 500_000)
    with pytest.raises(BadRequestError, match="is not a valid id"):
        gateway.dispute.fetch("disp_1")
    control("POST", f"disputes/{dispute_id}", {"status": "sold"}, status=400)


def test_what_was_captured_is_settled_once(
    gateway: razorpay.Client, control: Control, payment_id: str, raw: Raw
) -> None:
    gateway.payment.refund(payment_id, {"amount": 100_000})

    settlement = control("POST", "settle")["settlement"]

    assert settlement["amount"] == 500_000 - 11_800 - 100_000
    assert (settlement["fees"], settlement["tax"]) == (11_800, 1_800)
    assert gateway.settlement.all()["items"] == [settlement]
    assert gateway.settlement.fetch(settlement["id"]) == settlement
    assert control("POST", "settle") == {"settlement": None}
    _, order = raw("GET", f"/payments/{payment_id}")
    created = settlement["created_at"]
    year, month = _india(created)
    items = gateway.settlement.report({"year": year, "month": month})["items"]
    assert [(i["type"], i["credit"], i["debit"]) for i in items] == [
        ("payment", 488_200, 0), ("refund", 0, 100_000),
    ]  # fmt: skip
    assert {i["settlement_utr"] for i in items} == {settlement["utr"]}
    assert items[0]["order_id"] == order["order_id"]
    assert gateway.settlement.report({"year": year - 1, "month": month})["count"] == 0
    with pytest.raises(BadRequestError):
        gateway.settlement.report({"year": year})


def _india(unix: int) -> tuple[int, int]:
    at = datetime.fromtimestamp(unix, UTC) + timedelta(hours=5, minutes=30)
    return at.year, at.month

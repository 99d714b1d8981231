"""Razorpay's refunds and disputes through its SDK: once each, and what is there is found."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from billing.returns import RefundFacts
from billing.returns.refunds import receipt_of
from gateways.errors import (
    GatewayNotFound,
    GatewayRefused,
    GatewayUnavailable,
    OutcomeUnknown,
)
from gateways.razorpay.client import RazorpayGateway
from tests.gateways.conftest import HASTE, Door, Sim, an_order, razorpay_at

RECEIPT, ANOTHER = receipt_of("a request"), receipt_of("another")
UNKNOWN_PAYMENT, UNKNOWN_DISPUTE = "pay_00000000000000", "disp_00000000000000"
IN_PROGRESS = "Another request with the same idempotency key is still in progress."


@pytest.fixture
def gateway(sim: Sim) -> RazorpayGateway:
    return razorpay_at(sim.url)


@pytest.fixture
def payment_id(sim: Sim, gateway: RazorpayGateway) -> str:
    """A captured payment of Rs 5,000."""
    return str(sim.pay(gateway.open_order(an_order()).order_id)["razorpay_payment_id"])


def give_back(
    gateway: RazorpayGateway, payment_id: str, amount: int = 200_000, receipt: str = RECEIPT
) -> RefundFacts:
    return gateway.refund(payment_id, amount_paise=amount, currency="INR", receipt=receipt)


def refused(description: str) -> dict[str, object]:
    return {"error": {"code": "BAD_REQUEST_ERROR", "description": description}}


def refund_entity(number: int, **changes: object) -> dict[str, object]:
    entity = {
        "id": f"rfnd_{number}", "payment_id": "pay_1", "amount": 100, "status": "processed",
        "receipt": None,
    }  # fmt: skip
    return entity | changes


# Refunding


def test_a_part_of_a_payment_is_refunded(
    sim: Sim, gateway: RazorpayGateway, payment_id: str
) -> None:
    refund = give_back(gateway, payment_id)

    assert refund == RefundFacts(
        "razorpay", refund.refund_id, payment_id, 200_000, "processed", RECEIPT
    )
    assert gateway.refunds_of(payment_id) == [refund]
    assert gateway.payment(payment_id).refunded_paise == 200_000
    assert list(sim.world.razorpay.refund_by_key) == [RECEIPT]  # the header came


def test_what_is_sent(door: Door) -> None:
    door.says(200, refund_entity(1))
    gateway = razorpay_at(door.url)

    give_back(gateway, "pay_1", 100)
    give_back(gateway, "pay_1", 200, ANOTHER)

    first, second = door.asked
    assert first == (
        "POST",
        "/v1/payments/pay_1/refund",
        {"amount": 100, "speed": "normal", "notes": {}, "receipt": RECEIPT},
    )
    assert second[2] == first[2] | {"amount": 200, "receipt": ANOTHER}


@pytest.mark.parametrize("amount", [200_000, 300_000, 500_000])
@pytest.mark.parametrize("key_is_honoured", [True, False])
def test_a_repeat_of_a_refund_after_which_too_little_is_left_returns_the_first(
    sim: Sim, gateway: RazorpayGateway, payment_id: str, amount: int, key_is_honoured: bool
) -> None:
    # Given a gateway that may not know the header, and a payment of which the rest is refunded too
    first = give_back(gateway, payment_id, amount)
    if amount < 300_000:
        sim.refund(payment_id)
    if not key_is_honoured:
        sim.world.razorpay.refund_by_key.clear()

    assert give_back(gateway, payment_id, amount) == first
    assert give_back(razorpay_at(sim.url), payment_id, amount) == first  # of another process
    assert gateway.payment(payment_id).refunded_paise == (500_000 if amount < 300_000 else amount)


def test_a_refund_that_fails_later_is_listed_as_it_stands(
    sim: Sim, gateway: RazorpayGateway, payment_id: str
) -> None:
    sim.set(refund_state="failed")
    first = give_back(gateway, payment_id)

    sim.post("/simulator/finish-refund", {"refund_id": first.refund_id, "outcome": "failed"})

    assert first.seen == "submitted"
    assert [refund.seen for refund in gateway.refunds_of(payment_id)] == ["failed"]
    assert gateway.payment(payment_id).refunded_paise == 0


def test_several_at_once_are_one_refund(
    sim: Sim, gateway: RazorpayGateway, payment_id: str
) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: give_back(gateway, payment_id, 100_000), range(4)))

    assert len({refund.refund_id for refund in made}) == 1
    assert gateway.payment(payment_id).refunded_paise == 100_000


@pytest.mark.parametrize("key_is_honoured", [True, False])
def test_a_receipt_of_another_amount_is_refused(
    sim: Sim, gateway: RazorpayGateway, payment_id: str, key_is_honoured: bool
) -> None:
    give_back(gateway, payment_id, 400_000)
    if not key_is_honoured:
        sim.world.razorpay.refund_by_key.clear()

    with pytest.raises(GatewayRefused, match="refund of another amount") as caught:
        give_back(gateway, payment_id, 300_000)

    assert caught.value.field == "receipt"
    assert gateway.payment(payment_id).refunded_paise == 400_000


def test_more_than_is_left_is_refused(gateway: RazorpayGateway, payment_id: str) -> None:
    give_back(gateway, payment_id, 400_000)

    with pytest.raises(GatewayRefused, match="greater than amount captured"):
        give_back(gateway, payment_id, 200_000, ANOTHER)
    with pytest.raises(GatewayRefused, match="at least INR 1"):
        give_back(gateway, payment_id, 99, ANOTHER)


def test_without_the_money_for_it_a_refund_is_refused_and_made_later(
    sim: Sim, gateway: RazorpayGateway, payment_id: str
) -> None:
    sim.set(low_balance=True)
    with pytest.raises(GatewayRefused, match="does not have enough balance"):
        give_back(gateway, payment_id)
    assert gateway.refunds_of(payment_id) == []
    sim.set(low_balance=False)

    assert give_back(gateway, payment_id).seen == "processed"


@pytest.mark.parametrize("payment", ["", "../orders", "pay_1?x=y", "nothing", UNKNOWN_PAYMENT])
def test_an_unknown_payment_is_not_found(gateway: RazorpayGateway, payment: str) -> None:
    with pytest.raises(GatewayNotFound):
        give_back(gateway, payment)
    with pytest.raises(GatewayNotFound):
        gateway.refunds_of(payment)


# How it can end


def test_while_its_twin_is_under_way_the_outcome_is_unknown(
    sim: Sim, gateway: RazorpayGateway, payment_id: str
) -> None:
    sim.set(refund_in_progress=1)
    with pytest.raises(OutcomeUnknown):
        give_back(gateway, payment_id)
    sim.set(refund_in_progress=0)

    assert give_back(gateway, payment_id).seen == "processed"


def test_a_twin_under_way_may_be_told_as_a_bad_request(door: Door) -> None:
    door.says(400, refused(IN_PROGRESS))

    with pytest.raises(OutcomeUnknown, match="still under way"):
        give_back(razorpay_at(door.url), "pay_1")

    assert len(door.asked) == 1


@pytest.mark.parametrize(
    ("switches", "happened"),
    [
        ({"lost_response": 1}, True),
        ({"slow_answer": 1, "slow_answer_seconds": 0.6}, True),
        ({"bad_gateway": 1}, False),
        ({"html_answer": 1, "fault_after_effect": 1}, True),
    ],
)
def test_where_the_outcome_is_unknown_the_refund_is_found_by_its_receipt(
    sim: Sim, gateway: RazorpayGateway, payment_id: str, switches: dict[str, Any], happened: bool
) -> None:
    sim.set(**switches)
    with pytest.raises(OutcomeUnknown):
        give_back(razorpay_at(sim.url, timeout=HASTE), payment_id)
    sim.set(**dict.fromkeys(switches, 0))

    found = [refund for refund in gateway.refunds_of(payment_id) if refund.receipt == RECEIPT]

    assert len(found) == happened
    assert give_back(gateway, payment_id).seen == "processed"
    assert gateway.payment(payment_id).refunded_paise == 200_000


def test_too_many_requests_refund_nothing(
    sim: Sim, gateway: RazorpayGateway, payment_id: str
) -> None:
    sim.set(rate_limited=1)
    with pytest.raises(GatewayUnavailable):
        give_back(gateway, payment_id)
    sim.set(rate_limited=0)

    assert gateway.refunds_of(payment_id) == []


def test_a_refusal_that_cannot_be_looked_into_is_no_refusal(door: Door) -> None:
    door.answer = lambda method, _path, _body: (
        (400, refused("The payment has been fully refunded already"))
        if method == "POST"
        else (502, "<html>")
    )

    with pytest.raises(OutcomeUnknown):
        give_back(razorpay_at(door.url), "pay_1")


@pytest.mark.parametrize("answer", [{}, refund_entity(1, status="new"), refund_entity(1, id=None)])
def test_an_answer_that_makes_no_sense_leaves_the_outcome_unknown(
    door: Door, answer: dict[str, object]
) -> None:
    door.says(200, answer)

    with pytest.raises(OutcomeUnknown):
        give_back(razorpay_at(door.url), "pay_1")


# The list


def test_every_refund_is_listed_whoever_made_it(
    sim: Sim, gateway: RazorpayGateway, payment_id: str
) -> None:
    ours = give_back(gateway, payment_id)
    sim.refund(payment_id, amount=100_000, receipt="asked-on-the-phone")
    sim.refund(payment_id)

    found = gateway.refunds_of(payment_id)

    assert [refund.amount_paise for refund in found] == [200_000, 100_000, 200_000]
    assert [refund.receipt for refund in found] == [None, None, RECEIPT]
    assert found[-1] == ours


@pytest.mark.parametrize("count", [0, 9, 10, 11, 100, 210])
def test_a_long_list_is_read_to_its_end(door: Door, count: int) -> None:
    refunds = [refund_entity(number) for number in range(count)]

    def answer(_method: str, path: str, _body: Any) -> tuple[int, object]:
        query = dict(part.split("=") for part in path.partition("?")[2].split("&") if part)
        skip = int(query.get("skip", 0))
        return 200, {"items": refunds[skip : skip + int(query.get("count", 10))]}

    door.answer = answer

    found = razorpay_at(door.url).refunds_of("pay_1")

    assert [refund.refund_id for refund in found] == [refund["id"] for refund in refunds]


def test_a_list_that_breaks_off_is_not_taken_for_whole(door: Door) -> None:
    refunds = [refund_entity(number) for number in range(250)]

    def answer(_method: str, path: str, _body: Any) -> tuple[int, object]:
        if "skip=110" in path:
            return 400, refused("No")
        skip = 10 if "skip=10" in path else 0
        return 200, {"items": refunds[skip : skip + (100 if skip else 10)]}

    door.answer = answer

    with pytest.raises(GatewayRefused):
        razorpay_at(door.url).refunds_of("pay_1")


# Disputes


@pytest.mark.parametrize(("phase", "moves_money"), [("chargeback", True), ("retrieval", False)])
def test_a_dispute_is_told_as_it_stands(
    sim: Sim, gateway: RazorpayGateway, payment_id: str, phase: str, moves_money: bool
) -> None:
    opened = sim.post(
        "/simulator/disputes", {"payment_id": payment_id, "amount": 100_000, "phase": phase}
    )
    path = f"/simulator/disputes/{opened['id']}"

    dispute = gateway.dispute(opened["id"])

    assert (dispute.gateway, dispute.dispute_id) == ("razorpay", opened["id"])
    assert (dispute.payment_id, dispute.amount_paise) == (payment_id, 100_000)
    assert (dispute.seen, dispute.phase, dispute.moves_money) == ("open", phase, moves_money)
    assert dispute.respond_by == datetime.fromtimestamp(opened["respond_by"], UTC)
    for status in ("under_review", "lost"):
        sim.post(path, {"status": status})
        assert gateway.dispute(opened["id"]).seen == status
    assert gateway.dispute(opened["id"]).moves_money  # lost: the amount is deducted


@pytest.mark.parametrize("dispute_id", ["", "../orders", "nothing", UNKNOWN_DISPUTE])
def test_an_unknown_dispute_is_not_found(gateway: RazorpayGateway, dispute_id: str) -> None:
    with pytest.raises(GatewayNotFound):
        gateway.dispute(dispute_id)


def test_disputes_are_refused_in_a_shape_of_their_own(door: Door) -> None:
    door.says(
        400,
        {
            "status_code": 400,
            "success": False,
            "errors": ["The id provided does not exist", "Status Code: 400"],
        },
    )

    with pytest.raises(GatewayNotFound):
        razorpay_at(door.url).dispute(UNKNOWN_DISPUTE)

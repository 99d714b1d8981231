"""Stripe's refunds and disputes through its SDK: once each, and what is there is found."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest

from billing.returns import RefundFacts
from billing.returns.refunds import receipt_of
from gateways.errors import (
    GatewayNotFound,
    GatewayRefused,
    GatewayUnavailable,
    OutcomeUnknown,
)
from gateways.stripe import refunds as stripe_refunds
from gateways.stripe.client import StripeGateway
from tests.gateways.conftest import HASTE, Door, Sim, an_order, stripe_at

RECEIPT, ANOTHER = receipt_of("a request"), receipt_of("another")


@pytest.fixture
def gateway(sim: Sim) -> StripeGateway:
    return stripe_at(sim.stripe_url)


@pytest.fixture
def payment_id(sim: Sim, gateway: StripeGateway) -> str:
    """A captured payment of Rs 5,000."""
    return str(sim.pay(gateway.open_order(an_order()).order_id)["payment_intent"])


def give_back(
    gateway: StripeGateway, payment_id: str, amount: int = 200_000, receipt: str = RECEIPT
) -> RefundFacts:
    return gateway.refund(payment_id, amount_paise=amount, currency="INR", receipt=receipt)


def refused(message: str, **more: object) -> dict[str, object]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


def a_refund(number: int = 1, **changes: object) -> dict[str, object]:
    refund = {
        "id": f"re_{number}", "object": "refund", "amount": 100, "payment_intent": "pi_1",
        "status": "succeeded", "metadata": {},
    }  # fmt: skip
    return refund | changes


# Refunding


def test_a_part_of_a_payment_is_refunded(sim: Sim, gateway: StripeGateway, payment_id: str) -> None:
    refund = give_back(gateway, payment_id)

    assert refund == RefundFacts(
        "stripe", refund.refund_id, payment_id, 200_000, "processed", RECEIPT
    )
    assert gateway.refunds_of(payment_id) == [refund]
    assert gateway.payment(payment_id).refunded_paise == 200_000
    assert RECEIPT in sim.world.stripe.answers  # the key came


def test_what_is_sent(door: Door) -> None:
    door.says(200, a_refund())

    give_back(stripe_at(door.url), "pi_1", 100)

    ((method, path, body),) = door.asked
    assert (method, path) == ("POST", "/v1/refunds")
    assert parse_qs(body) == {
        "payment_intent": ["pi_1"], "amount": ["100"], "metadata[receipt]": [RECEIPT],
    }  # fmt: skip


@pytest.mark.parametrize("amount", [200_000, 300_000, 500_000])
@pytest.mark.parametrize("key_is_kept", [True, False])
def test_a_repeat_of_a_refund_after_which_too_little_is_left_returns_the_first(
    sim: Sim, gateway: StripeGateway, payment_id: str, amount: int, key_is_kept: bool
) -> None:
    # Given a key that may be forgotten after a day, and a payment of which the rest is refunded too
    first = give_back(gateway, payment_id, amount)
    if amount < 300_000:
        sim.refund_at_stripe(payment_id, 500_000 - amount)
    if not key_is_kept:
        sim.world.stripe.answers.clear()

    assert give_back(gateway, payment_id, amount) == first
    assert give_back(stripe_at(sim.stripe_url), payment_id, amount) == first
    assert gateway.payment(payment_id).refunded_paise == (500_000 if amount < 300_000 else amount)


def test_a_refund_that_fails_later_is_listed_as_it_stands(
    sim: Sim, gateway: StripeGateway, payment_id: str
) -> None:
    sim.set(refund_state="failed")
    first = give_back(gateway, payment_id)

    sim.post("/simulator/finish-refund", {"refund_id": first.refund_id, "outcome": "failed"})

    assert first.seen == "submitted"
    assert [refund.seen for refund in gateway.refunds_of(payment_id)] == ["failed"]


def test_several_at_once_are_one_refund(sim: Sim, gateway: StripeGateway, payment_id: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: give_back(gateway, payment_id, 100_000), range(4)))

    assert len({refund.refund_id for refund in made}) == 1
    assert gateway.payment(payment_id).refunded_paise == 100_000


@pytest.mark.parametrize("key_is_kept", [True, False])
def test_a_receipt_of_another_amount_is_refused(
    sim: Sim, gateway: StripeGateway, payment_id: str, key_is_kept: bool
) -> None:
    give_back(gateway, payment_id, 400_000)
    if not key_is_kept:
        sim.world.stripe.answers.clear()

    with pytest.raises(GatewayRefused, match="refund of another amount") as caught:
        give_back(gateway, payment_id, 300_000)

    assert caught.value.field == "receipt"
    assert gateway.payment(payment_id).refunded_paise == 400_000


def test_more_than_is_left_is_refused(gateway: StripeGateway, payment_id: str) -> None:
    give_back(gateway, payment_id, 400_000)

    with pytest.raises(GatewayRefused, match="greater than unrefunded amount"):
        give_back(gateway, payment_id, 200_000, ANOTHER)


def test_without_the_money_for_it_a_refund_is_refused_and_made_later(
    sim: Sim, gateway: StripeGateway, payment_id: str
) -> None:
    sim.set(low_balance=True)
    with pytest.raises(GatewayRefused, match="Insufficient funds"):
        give_back(gateway, payment_id)
    assert gateway.refunds_of(payment_id) == []
    sim.set(low_balance=False)

    assert give_back(gateway, payment_id).seen == "processed"


@pytest.mark.parametrize("payment", ["", "../events", "pi_1?x=y", "pi_00000"])
def test_an_unknown_payment_is_not_found(gateway: StripeGateway, payment: str) -> None:
    with pytest.raises(GatewayNotFound):
        give_back(gateway, payment)


# How it can end


def test_while_its_twin_is_under_way_the_outcome_is_unknown(door: Door) -> None:
    door.says(409, refused("In progress", code="idempotency_key_in_use"))

    with pytest.raises(OutcomeUnknown):
        give_back(stripe_at(door.url), "pi_1")

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
    sim: Sim, gateway: StripeGateway, payment_id: str, switches: dict[str, Any], happened: bool
) -> None:
    sim.set(**switches)
    with pytest.raises(OutcomeUnknown):
        give_back(stripe_at(sim.stripe_url, timeout=HASTE), payment_id)
    sim.set(**dict.fromkeys(switches, 0))

    found = [refund for refund in gateway.refunds_of(payment_id) if refund.receipt == RECEIPT]

    assert len(found) == happened
    assert give_back(gateway, payment_id).seen == "processed"
    assert gateway.payment(payment_id).refunded_paise == 200_000


def test_too_many_requests_refund_nothing(
    sim: Sim, gateway: StripeGateway, payment_id: str
) -> None:
    sim.set(rate_limited=1)
    with pytest.raises(GatewayUnavailable):
        give_back(gateway, payment_id)
    sim.set(rate_limited=0)

    assert gateway.refunds_of(payment_id) == []


def test_a_refusal_that_cannot_be_looked_into_is_no_refusal(door: Door) -> None:
    door.answer = lambda method, _path, _body: (
        (400, refused("Already", code="charge_already_refunded"))
        if method == "POST"
        else (502, "<html>")
    )

    with pytest.raises(OutcomeUnknown):
        give_back(stripe_at(door.url), "pi_1")


@pytest.mark.parametrize("answer", [{}, a_refund(status="new"), a_refund(payment_intent=None)])
def test_an_answer_that_makes_no_sense_leaves_the_outcome_unknown(
    door: Door, answer: dict[str, object]
) -> None:
    door.says(200, answer)

    with pytest.raises(OutcomeUnknown):
        give_back(stripe_at(door.url), "pi_1")


# The list


def test_every_refund_is_listed_whoever_made_it(
    sim: Sim, gateway: StripeGateway, payment_id: str
) -> None:
    ours = give_back(gateway, payment_id)
    sim.refund_at_stripe(payment_id, 100_000)

    found = gateway.refunds_of(payment_id)

    assert [refund.amount_paise for refund in found] == [100_000, 200_000]
    assert [refund.receipt for refund in found] == [None, RECEIPT]
    assert found[-1] == ours


def test_a_long_list_is_read_to_its_end_within_bounds(
    sim: Sim, gateway: StripeGateway, payment_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(105):
        sim.refund_at_stripe(payment_id, 100)

    assert len({refund.refund_id for refund in gateway.refunds_of(payment_id)}) == 105
    monkeypatch.setattr(stripe_refunds, "MOST_REFUNDS", 100)
    with pytest.raises(OutcomeUnknown, match="over 100 refunds"):
        gateway.refunds_of(payment_id)


# Disputes


@pytest.mark.parametrize(
    ("inquiry", "ends", "seen"),
    [(False, "won", "won"), (False, "lost", "lost"), (True, "warning_closed", "closed")],
)
def test_a_dispute_is_told_as_it_stands(
    sim: Sim, gateway: StripeGateway, payment_id: str, inquiry: bool, ends: str, seen: str
) -> None:
    charge = sim.world.stripe.intents[payment_id]["latest_charge"]
    opened = sim.post(
        "/simulator/disputes", {"charge": charge, "amount": 100_000, "inquiry": inquiry}
    )

    dispute = gateway.dispute(opened["id"])

    assert (dispute.gateway, dispute.dispute_id) == ("stripe", opened["id"])
    assert (dispute.payment_id, dispute.amount_paise) == (payment_id, 100_000)
    assert (dispute.seen, dispute.moves_money) == ("open", not inquiry)
    assert dispute.phase == ("inquiry" if inquiry else "chargeback")
    due = opened["evidence_details"]["due_by"]
    assert dispute.respond_by == datetime.fromtimestamp(due, UTC)
    sim.post(f"/simulator/disputes/{opened['id']}", {"status": ends})
    assert gateway.dispute(opened["id"]).seen == seen


@pytest.mark.parametrize("dispute_id", ["", "../events", "dp_00000"])
def test_an_unknown_dispute_is_not_found(gateway: StripeGateway, dispute_id: str) -> None:
    with pytest.raises(GatewayNotFound):
        gateway.dispute(dispute_id)

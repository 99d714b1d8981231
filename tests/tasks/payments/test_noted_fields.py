"""Informational fields of a gateway full of nonsense: the ledger is as if they were good."""

import json
from typing import Any

import pytest

from tests.billing.given import assert_ledger_is_clean, balance, open_account, rows
from tests.gateways.conftest import Sim
from tests.tasks.given import deliver, inbox_rows, work
from tests.tasks.returns.given import (
    buy,
    open_dispute,
    razorpay_event,
    refund_event,
    refunds_at,
    stripe_event,
)
from tests.tasks.returns.given import dispute_event as event_of_dispute

pytestmark = pytest.mark.usefixtures("database", "redis")

NONSENSE: list[Any] = ["a sentence of the payer's", -35.4]
NOTED_AT_RAZORPAY = (
    "fee", "tax", "method", "email", "contact", "notes", "description", "vpa", "acquirer_data",
    "error_code", "error_reason", "bank", "wallet", "international", "speed_processed",
    "reason_code", "respond_by", "evidence",
)  # fmt: skip
NOTED_AT_STRIPE = (
    "payment_method_types", "customer_details", "balance_transaction", "reason", "url",
    "payment_method_details", "evidence_details", "livemode", "expires_at", "customer",
)  # fmt: skip


def ruined(body: bytes, value: object) -> bytes:
    """The body with nonsense in all that is only noted."""
    content = json.loads(body)
    if "payload" in content:
        for holder in content["payload"].values():
            holder["entity"] |= dict.fromkeys(NOTED_AT_RAZORPAY, value)
    else:
        content["data"]["object"] |= dict.fromkeys(NOTED_AT_STRIPE, value)
    return json.dumps(content).encode()


@pytest.mark.parametrize("value", NONSENSE)
@pytest.mark.parametrize("gateway", ["razorpay", "stripe"])
def test_a_paid_order_is_credited_and_its_refund_taken_whatever_is_noted(
    sim: Sim, gateway: Any, value: object
) -> None:
    open_account()
    order_id = str(buy(gateway).order_id)
    answer = sim.pay(order_id)
    if gateway == "razorpay":
        payment_id = answer["razorpay_payment_id"]
        paid = razorpay_event(sim, "payment.captured", payment_id)
        sim.refund(payment_id, amount=250_000)
    else:
        payment_id, paid = answer["payment_intent"], stripe_event(sim, order_id)
        sim.refund_at_stripe(payment_id, 250_000)
    [refund] = refunds_at(sim, payment_id)
    name = "refund.processed" if gateway == "razorpay" else "refund.updated"

    deliver(ruined(paid, value), source=gateway)
    work(gateway)
    assert balance() == 5_500

    deliver(ruined(refund_event(refund, name, sim), value), source=gateway)
    work(gateway)

    assert [row[0] for row in inbox_rows()] == ["done", "done"]
    assert rows("SELECT credits + bonus_credits FROM billing_refunds") == [(2_750,)]
    assert balance() == 2_750
    assert_ledger_is_clean()


@pytest.mark.parametrize("value", NONSENSE)
@pytest.mark.parametrize("gateway", ["razorpay", "stripe"])
def test_a_disputed_payment_is_frozen_whatever_is_noted(
    sim: Sim, gateway: Any, value: object
) -> None:
    open_account()
    order_id = str(buy(gateway).order_id)
    answer = sim.pay(order_id)
    if gateway == "razorpay":
        payment_id = answer["razorpay_payment_id"]
        paid = razorpay_event(sim, "payment.captured", payment_id)
    else:
        payment_id, paid = answer["payment_intent"], stripe_event(sim, order_id)
    deliver(paid, source=gateway)
    work(gateway)

    dispute = open_dispute(sim, payment_id)
    deliver(ruined(event_of_dispute(dispute, "created", sim), value), source=gateway)
    work(gateway)

    assert rows("SELECT state, position FROM billing_chargebacks") == [("open", "reserved")]
    assert rows("SELECT held FROM accounts") == [(5_500,)]

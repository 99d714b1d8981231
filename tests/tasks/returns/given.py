"""Gateways as simulators whose webhooks a test delivers itself, or lets be lost."""

import json
from typing import Any

from billing import audit
from billing.payments import GatewayName, OrderRequest
from devstack.simulator.razorpay import events as razorpay_events
from devstack.simulator.world import unix_now
from tasks.payments import checkout
from tasks.payments.checkout import PlacedOrder
from tests.gateways.conftest import Sim
from tests.tasks.given import deliver, work

CLINIC = "clinic:42"


def buy(
    gateway: GatewayName = "razorpay", key: str = "op-1", package: str = "credits_5000"
) -> PlacedOrder:
    """Order a package as the API does."""
    wish = OrderRequest(
        CLINIC, gateway, package=package, return_url="https://clinic.example/credits"
    )
    with audit.asked_by("api-key:shop", door="api"):
        return checkout.place_order(wish, actor="api-key:shop", operation_key=key)


def payment_at(sim: Sim, payment_id: str) -> Any:
    """A payment as Razorpay has it now."""
    return sim.world.razorpay.payments[payment_id]


def razorpay_event(sim: Sim, event: str, payment_id: str) -> bytes:
    """The body of a webhook about a payment, as Razorpay writes it now."""
    payment = payment_at(sim, payment_id)
    entities = {"payment": payment}
    if event == "order.paid":
        entities["order"] = sim.world.razorpay.orders[payment["order_id"]]
    return razorpay_events.write(event, entities, unix_now())


def stripe_event(sim: Sim, session_id: str, event: str = "checkout.session.completed") -> bytes:
    """The body of a webhook about a session or its intent, as Stripe writes it now."""
    subject = sim.world.stripe.sessions[session_id]
    if event.startswith("payment_intent."):
        subject = sim.world.stripe.intents[subject["payment_intent"]]
    content = {"id": f"evt_{session_id}", "object": "event", "type": event,
               "data": {"object": subject}}  # fmt: skip
    return json.dumps(content, indent=2).encode()


def deliver_razorpay(*bodies: bytes) -> None:
    """Record deliveries of Razorpay's."""
    deliver(*bodies, source="razorpay")


def paid(sim: Sim, gateway: GatewayName = "razorpay", key: str = "op-1") -> str:
    """Buy the package of Rs 5,000 and be credited; the gateway's id of the payment."""
    order_id = str(buy(gateway, key).order_id)
    answer = sim.pay(order_id)
    if gateway == "razorpay":
        payment_id = str(answer["razorpay_payment_id"])
        deliver_razorpay(razorpay_event(sim, "payment.captured", payment_id))
    else:
        payment_id = str(answer["payment_intent"])
        deliver(stripe_event(sim, order_id), source="stripe")
    work(gateway)
    return payment_id


def refunds_at(sim: Sim, payment_id: str) -> list[Any]:
    """The refunds that either gateway has of a payment."""
    there = [*sim.world.razorpay.refunds.values(), *sim.world.stripe.refunds.values()]
    return [one for one in there if payment_id in (one.get("payment_id"),
                                                  one.get("payment_intent"))]  # fmt: skip


def refund_event(refund: Any, event: str, sim: Sim) -> bytes:
    """The body of a webhook about a refund of either gateway, as it writes it now."""
    if refund["id"].startswith("rfnd_"):
        entities = {"refund": refund, "payment": payment_at(sim, refund["payment_id"])}
        return razorpay_events.write(event, entities, unix_now())
    return _of_stripe(event, refund)


def open_dispute(sim: Sim, payment_id: str, *, inquiry: bool = False) -> Any:
    """Let the payer's bank ask for the money back; the gateway's dispute."""
    if payment_id in sim.world.razorpay.payments:
        phase = "retrieval" if inquiry else "chargeback"
        answer = sim.post("/simulator/disputes", {"payment_id": payment_id, "phase": phase})
        return sim.world.razorpay.disputes[answer["id"]]
    charge = sim.world.stripe.intents[payment_id]["latest_charge"]
    answer = sim.post("/simulator/disputes", {"charge": charge, "inquiry": inquiry})
    return sim.world.stripe.disputes[answer["id"]]


def dispute_event(dispute: Any, event: str, sim: Sim) -> bytes:
    """The body of a webhook about a payer's dispute: `created`, `lost`, `won`, `closed`."""
    if "payment_id" in dispute:
        entities = {"dispute": dispute, "payment": payment_at(sim, dispute["payment_id"])}
        return razorpay_events.write(f"payment.dispute.{event}", entities, unix_now())
    name = "created" if event == "created" else "closed"
    return _of_stripe(f"charge.dispute.{name}", dispute)


def _of_stripe(event: str, subject: Any) -> bytes:
    content = {"id": f"evt_{subject['id']}", "object": "event", "type": event,
               "data": {"object": subject}}  # fmt: skip
    return json.dumps(content, indent=2).encode()

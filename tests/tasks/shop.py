"""Gateways as simulators whose webhooks a test delivers itself, or lets be lost."""

import json
from typing import Any

from billing import audit
from billing.orders import OrderRequest
from billing.payment_facts import GatewayName
from devstack.simulator.razorpay import events as razorpay_events
from devstack.simulator.world import unix_now
from tasks import checkout
from tasks.checkout import PlacedOrder
from tests.gateways.conftest import Sim
from tests.tasks.helpers import deliver

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

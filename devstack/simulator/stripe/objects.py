"""New objects, with the fields of Stripe's API that one-off payments use. Smallest units."""

from typing import Any

from devstack.simulator.stripe.store import Entity
from devstack.simulator.world import World, unix_now

API_VERSION = "2026-10-28.endive"
"""The one that the stripe library 16.1 pins."""
CARD = {"brand": "visa", "last4": "4242", "country": "US", "exp_month": 12, "exp_year": 2034}
CUSTOMER = {"email": "customer@example.com", "name": "Test Customer", "phone": None}


def new_id(world: World, prefix: str, length: int = 24) -> str:
    """Return an id; Stripe's are longer than Razorpay's."""
    return world.chance.id(prefix, length)


def session(world: World, *, amount: int, currency: str, url: str, **given: Any) -> Entity:
    """Return an open Checkout Session of mode payment; it lasts a day unless `given` says."""
    now = unix_now()
    session_id = new_id(world, "cs_test", 58)
    fields: Entity = {
        "id": session_id, "object": "checkout.session", "amount_subtotal": amount,
        "amount_total": amount, "cancel_url": None, "client_reference_id": None, "created": now,
        "currency": currency, "customer": None, "customer_details": None, "customer_email": None,
        "expires_at": now + 86_400, "invoice": None, "livemode": False, "metadata": {},
        "mode": "payment", "payment_intent": None, "payment_method_types": ["card"],
        "payment_status": "unpaid", "status": "open", "subscription": None, "success_url": None,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted", "url": f"{url}/{session_id}",
    }  # fmt: skip
    return fields | given


def intent(world: World, *, amount: int, currency: str, metadata: Entity) -> Entity:
    """Return a PaymentIntent that waits for a payment method."""
    intent_id = new_id(world, "pi")
    return {
        "id": intent_id, "object": "payment_intent", "amount": amount, "amount_capturable": 0,
        "amount_received": 0, "canceled_at": None, "capture_method": "automatic_async",
        "client_secret": f"{intent_id}_secret_{world.chance.text('secret', 25)}",
        "created": unix_now(), "currency": currency, "customer": None, "description": None,
        "last_payment_error": None, "latest_charge": None, "livemode": False,
        "metadata": metadata, "payment_method": None, "payment_method_types": ["card"],
        "status": "requires_payment_method",
    }  # fmt: skip


def charge(world: World, payment_intent: Entity, *, paid: bool) -> Entity:
    """Return the charge of an attempt; its refunds are not embedded (since 2022-11-15)."""
    return {
        "id": new_id(world, "ch"), "object": "charge", "amount": payment_intent["amount"],
        "amount_captured": payment_intent["amount"] if paid else 0, "amount_refunded": 0,
        "balance_transaction": new_id(world, "txn") if paid else None,
        "billing_details": CUSTOMER, "captured": paid, "created": unix_now(),
        "currency": payment_intent["currency"], "customer": None, "description": None,
        "disputed": False, "failure_code": None if paid else "card_declined",
        "failure_message": None if paid else "Your card was declined.", "livemode": False,
        "metadata": payment_intent["metadata"], "paid": paid,
        "payment_intent": payment_intent["id"],
        "payment_method_details": {"card": CARD, "type": "card"}, "refunded": False,
        "status": "succeeded" if paid else "failed",
    }  # fmt: skip


def refund(
    world: World, of: Entity, *, amount: int, reason: str | None, metadata: Entity
) -> Entity:
    """Return a refund of a charge that is under way."""
    return {
        "id": new_id(world, "re"), "object": "refund", "amount": amount,
        "balance_transaction": new_id(world, "txn"), "charge": of["id"], "created": unix_now(),
        "currency": of["currency"], "destination_details": {"card": {"type": "refund"}},
        "metadata": metadata, "payment_intent": of["payment_intent"], "reason": reason,
        "receipt_number": None, "status": "pending",
    }  # fmt: skip


def dispute(world: World, of: Entity, *, amount: int, reason: str, inquiry: bool) -> Entity:
    """Return a dispute of a charge; an inquiry moves no money."""
    moved = [] if inquiry else [_withdrawal(world, of, -amount)]
    return {
        "id": new_id(world, "dp"), "object": "dispute", "amount": amount,
        "balance_transactions": moved, "charge": of["id"], "created": unix_now(),
        "currency": of["currency"], "evidence": {},
        "evidence_details": {
            "due_by": unix_now() + 7 * 86_400, "has_evidence": False, "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": inquiry, "livemode": False, "metadata": {},
        "payment_intent": of["payment_intent"],
        "payment_method_details": {
            "card": {"brand": "visa", "case_type": "inquiry" if inquiry else "chargeback"},
            "type": "card",
        },
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }  # fmt: skip


def _withdrawal(world: World, of: Entity, amount: int) -> Entity:
    return {
        "id": new_id(world, "txn"), "object": "balance_transaction", "amount": amount,
        "created": unix_now(), "currency": of["currency"], "fee": 0, "net": amount,
        "reporting_category": "dispute", "type": "adjustment",
    }  # fmt: skip

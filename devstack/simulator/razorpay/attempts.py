"""A customer tries to pay: what Razorpay makes of it, and which events it sends.

Called by the checkout page and the control endpoint. One order may see many attempts and one
success; what a second success becomes, and what goes wrong on the way, the switches decide.
"""

import hashlib
import hmac
from typing import Literal

from devstack.simulator.razorpay import capture, entities, refunding
from devstack.simulator.razorpay.errors import ApiError, unknown_id
from devstack.simulator.razorpay.events import Publish, publishing
from devstack.simulator.razorpay.store import Entity
from devstack.simulator.world import World

Outcome = Literal["success", "failure", "late_authorization", "authorized"]
METHODS = ("upi", "card", "netbanking", "wallet")


def pay(
    world: World,
    *,
    order_id: str,
    outcome: Outcome,
    method: str = "upi",
    amount: int | None = None,
    currency: str | None = None,
    customer: Entity | None = None,
) -> Entity:
    """Play one attempt on an order and return the payment; `amount` and `currency` may differ.

    `customer` may hold the `contact` and `email` that the visitor left.

    Raises `ApiError` if checkout would refuse the attempt.
    """
    order = world.razorpay.orders.get(order_id)
    if order is None:
        raise unknown_id(order_id, "order")
    _require_open(world, order)
    if world.rolls("short_payment"):
        amount = amount or order["amount"] // 2
    if world.rolls("other_currency"):
        currency = currency or "USD"
    payment = entities.payment(
        world, order_id=order_id, amount=amount or order["amount"],
        currency=currency or order["currency"], method=method, notes=order["notes"],
    )  # fmt: skip
    payment.update(customer or {})
    world.razorpay.payments[payment["id"]] = payment
    order["attempts"] += 1
    if order["status"] == "created":
        order["status"] = "attempted"
    unlucky = world.rolls("late_authorization") and outcome == "success"
    late = outcome == "late_authorization" or unlucky
    left_authorized = world.rolls("authorized_only") or outcome == "authorized"
    with publishing(world) as publish:
        if outcome == "failure" or late:
            _fail(payment, publish)
        else:
            authorize(world, payment, publish, left_authorized=left_authorized)
        if world.rolls("foreign_payment"):
            pay_elsewhere(world, publish)
    if late:
        world.later(
            world.switches.late_authorization_seconds, lambda: authorize_late(world, payment)
        )
    return payment


def signature(world: World, payment: Entity) -> str:
    """Return what checkout hands to the page after a success."""
    message = f"{payment['order_id']}|{payment['id']}".encode()
    return hmac.new(world.config.razorpay_key_secret.encode(), message, hashlib.sha256).hexdigest()


def authorize(world: World, payment: Entity, publish: Publish, *, left_authorized: bool) -> None:
    """The bank holds the money: publish that, then capture it or give it back at once."""
    payment.update(
        entities.no_error(),
        status="authorized",
        acquirer_data=entities.acquirer_data(world, payment["method"]),
    )
    publish("payment.authorized", payment=payment)
    order_id = payment["order_id"]
    order = world.razorpay.orders.get(order_id)
    if order is None:
        return
    if order["status"] == "paid" and world.switches.second_payment != "capture":
        refunding.refund_uncaptured(world, payment, publish)
    elif not left_authorized and order_id not in world.razorpay.manual_capture:
        capture.capture(world, payment, publish)


def authorize_late(world: World, payment: Entity) -> None:
    """The bank says yes to a payment that had failed; nothing happens to any other."""
    if payment["status"] != "failed":
        return
    with publishing(world) as publish:
        authorize(world, payment, publish, left_authorized=False)


def pay_elsewhere(
    world: World, publish: Publish, *, amount: int = 49_900, with_order: bool | None = None
) -> Entity:
    """A payment of another shop of the same account: without an order, or on one not ours."""
    if with_order is None:
        with_order = world.chance.happens("foreign_order", 0.5)
    order_id = world.chance.id("order") if with_order else None
    payment = entities.payment(
        world, order_id=order_id, amount=amount, currency="INR", method="netbanking", notes=[]
    )
    world.razorpay.payments[payment["id"]] = payment
    authorize(world, payment, publish, left_authorized=True)
    if with_order:
        capture.capture(world, payment, publish)
    return payment


def _require_open(world: World, order: Entity) -> None:
    if order["status"] == "paid" and world.switches.second_payment == "refuse":
        raise ApiError("Payment already done for this order.", step="payment_initiation")
    held = [p for p in world.razorpay.payments_of(order["id"]) if p["status"] == "authorized"]
    if held:
        raise ApiError(
            "Payment failed because another payment on this order is being processed",
            metadata={"payment_id": held[0]["id"], "order_id": order["id"]},
        )


def _fail(payment: Entity, publish: Publish) -> None:
    payment.update(
        status="failed",
        error_code="BAD_REQUEST_ERROR",
        error_description="Payment failed",
        error_source="issuer",
        error_step="payment_authorization",
        error_reason="payment_failed",
        acquirer_data={"rrn": None} if payment["method"] == "upi" else {},
    )
    publish("payment.failed", payment=payment)

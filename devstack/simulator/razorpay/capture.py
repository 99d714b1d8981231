"""Capture: an authorized payment becomes ours, and its order paid."""

from typing import Any

from devstack.simulator.razorpay import bodies, entities
from devstack.simulator.razorpay.errors import ApiError
from devstack.simulator.razorpay.events import Publish, publishing
from devstack.simulator.razorpay.store import Entity
from devstack.simulator.world import World


def capture(world: World, payment: Entity, publish: Publish) -> None:
    """Take an authorized payment's money, with its fee; publish that, and a paid order."""
    fee, tax = entities.fee_and_tax(payment["amount"], payment["method"])
    payment.update(status="captured", captured=True, fee=fee, tax=tax)
    publish("payment.captured", payment=payment)
    order = world.razorpay.orders.get(payment["order_id"])
    if order is None or order["status"] == "paid":
        return
    order["amount_paid"] += payment["amount"]
    order["amount_due"] = max(0, order["amount"] - order["amount_paid"])
    if order["amount_due"] == 0:
        order["status"] = "paid"
        publish("order.paid", payment=payment, order=order)


def asked_for(world: World, payment: Entity, body: dict[str, Any]) -> Entity:
    """Capture as the API is asked to; raises `ApiError` for what does not fit."""
    step = "payment_capture"
    amount = bodies.amount(body, what="The amount must be at least INR 1.00", step=step)
    currency = body.get("currency", "INR")
    if payment["status"] in {"captured", "refunded"}:
        raise ApiError("This payment has already been captured", step=step)
    if payment["status"] != "authorized":
        raise ApiError("Only payments which have been authorized and not yet captured can be"
                       " captured", step=step)  # fmt: skip
    if payment["order_id"] is None:
        raise ApiError("The payment has no order and cannot be captured", step=step)
    if amount != payment["amount"]:
        raise ApiError(
            "Capture amount must be equal to the amount authorized.", field="amount", step=step
        )
    if currency != payment["currency"]:
        raise ApiError(
            "Capture currency must be equal to the currency authorized.", field="currency",
            step=step,
        )  # fmt: skip
    with publishing(world) as publish:
        capture(world, payment, publish)
    return payment

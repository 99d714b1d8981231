"""Refunds: asked for by us, or given by Razorpay itself if a payment was never captured."""

import json
from typing import Any

from devstack.simulator.razorpay import bodies, entities
from devstack.simulator.razorpay.errors import ApiError
from devstack.simulator.razorpay.events import Publish, publishing
from devstack.simulator.razorpay.store import Entity
from devstack.simulator.world import World

STEP = "refund_initiation"


def asked_for(world: World, payment: Entity, body: dict[str, Any], key: str | None) -> Entity:
    """Make a refund, or return the one that was made under the same idempotency key."""
    if key is not None and (done := _done_before(world, payment, body, key)):
        return done
    amount = _amount(payment, body)
    if any(
        dispute["payment_id"] == payment["id"] and dispute["status"] not in {"won", "closed"}
        for dispute in world.razorpay.disputes.values()
    ):
        raise ApiError("The payment is disputed and cannot be refunded", step=STEP)
    if world.switches.low_balance:
        raise ApiError(
            "Your account does not have enough balance to carry out the refund operation.",
            step=STEP, reason="insufficient_account_balance",
        )  # fmt: skip
    refund = entities.refund(
        world, payment_id=payment["id"], amount=amount, currency=payment["currency"],
        notes=bodies.notes(body), receipt=bodies.receipt(body), speed=_speed(body),
    )  # fmt: skip
    world.razorpay.refunds[refund["id"]] = refund
    if key is not None:
        world.razorpay.refund_by_key[key] = (payment["id"], _text(body), refund["id"])
    _count(payment, amount)
    outcome = world.switches.refund_state
    with publishing(world) as publish:
        if outcome == "processed":
            refund["status"] = "processed"
        publish("refund.created", refund=refund, payment=payment)
        if outcome == "processed":
            publish("refund.processed", refund=refund, payment=payment)
    if outcome != "processed":
        world.later(world.switches.refund_seconds, lambda: finish(world, refund, outcome))
    return refund


def finish(world: World, refund: Entity, outcome: str) -> None:
    """Let a pending refund be `processed` or `failed`; a failed one leaves the payment whole."""
    if refund["status"] != "pending":
        return
    payment = world.razorpay.payments[refund["payment_id"]]
    with publishing(world) as publish:
        if outcome == "failed":
            refund.update(status="failed", speed_processed=None)
            _count(payment, -refund["amount"])
            publish("refund.failed", refund=refund, payment=payment)
        else:
            refund.update(status="processed", acquirer_data={"arn": world.chance.digits("arn", 14)})
            publish("refund.processed", refund=refund, payment=payment)


def refund_uncaptured(world: World, payment: Entity, publish: Publish) -> None:
    """Give back what was authorized and never captured; the payment says so by `captured`."""
    refund = entities.refund(
        world, payment_id=payment["id"], amount=payment["amount"], currency=payment["currency"],
        notes=[], receipt=None, speed="normal",
    )  # fmt: skip
    refund["status"] = "processed"
    world.razorpay.refunds[refund["id"]] = refund
    _count(payment, payment["amount"])
    publish("refund.created", refund=refund, payment=payment)
    publish("refund.processed", refund=refund, payment=payment)


def _done_before(world: World, payment: Entity, body: dict[str, Any], key: str) -> Entity | None:
    if len(key) < 10 or not key.isascii() or not key.replace("-", "").replace("_", "").isalnum():
        raise ApiError(
            "The idempotency key must be at least 10 characters of letters, digits, - and _",
            step=STEP,
        )  # fmt: skip
    if world.rolls("refund_in_progress"):
        raise ApiError(
            "Another request with the same idempotency key is still in progress.",
            status=409, step=STEP,
        )  # fmt: skip
    if key not in world.razorpay.refund_by_key:
        return None
    payment_id, text, refund_id = world.razorpay.refund_by_key[key]
    if (payment_id, text) != (payment["id"], _text(body)):
        raise ApiError(
            "Different request with the same idempotency key has already been processed.",
            step=STEP,
        )  # fmt: skip
    return world.razorpay.refunds[refund_id]


def _amount(payment: Entity, body: dict[str, Any]) -> int:
    if payment["refund_status"] == "full":
        raise ApiError("The payment has been fully refunded already", step=STEP)
    if payment["status"] != "captured":
        raise ApiError("The payment status should be captured for action to be taken", step=STEP)
    left: int = payment["amount"] - payment["amount_refunded"]
    if body.get("amount") is None:
        return left
    amount = bodies.amount(body, what="The amount must be at least INR 1.00", step=STEP)
    if amount > left:
        raise ApiError(
            "The refund amount provided is greater than amount captured", field="amount", step=STEP
        )
    return amount


def _count(payment: Entity, amount: int) -> None:
    """Add to what was refunded; the status is `refunded` only when nothing is left."""
    payment["amount_refunded"] += amount
    refunded = payment["amount_refunded"]
    full = refunded == payment["amount"]
    payment["refund_status"] = "full" if full else "partial" if refunded else None
    payment["status"] = "refunded" if full else "captured"


def _speed(body: dict[str, Any]) -> str:
    speed = body.get("speed", "normal")
    if speed not in {"normal", "optimum"}:
        raise ApiError("The speed must be normal or optimum", field="speed", step=STEP)
    return str(speed)


def _text(body: dict[str, Any]) -> str:
    return json.dumps(body, sort_keys=True)

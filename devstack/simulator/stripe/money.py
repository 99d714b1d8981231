"""Refunds and disputes of charges."""

from typing import Any

from devstack.simulator.stripe import forms, objects
from devstack.simulator.stripe.errors import ApiError, missing
from devstack.simulator.stripe.events import publishing
from devstack.simulator.stripe.store import Entity
from devstack.simulator.world import World, unix_now

REASONS = {None, "duplicate", "fraudulent", "requested_by_customer"}
ENDS = {"won", "lost", "warning_closed"}
DISPUTED = {"needs_response", "under_review", "lost"}
"""Disputes for which the money is gone already: a refund would give it a second time."""


def refund(world: World, body: dict[str, Any]) -> Entity:
    """Refund a charge or the charge of an intent, in part or what is left."""
    charge = _charge(world, body)
    left: int = charge["amount"] - charge["amount_refunded"]
    if not charge["paid"]:
        raise ApiError(f"Charge {charge['id']} has not been paid.")
    if any(
        dispute["charge"] == charge["id"] and dispute["status"] in DISPUTED
        for dispute in world.stripe.disputes.values()
    ):
        raise ApiError(f"Charge {charge['id']} has been charged back.", code="charge_disputed")
    if left == 0:
        raise ApiError(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    amount = forms.number(body, "amount")
    amount = left if amount is None else amount
    if amount < 1:
        raise ApiError("Invalid positive integer", code="parameter_invalid_integer", param="amount")
    if amount > left:
        raise ApiError(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
            param="amount",
        )
    if body.get("reason") not in REASONS:
        raise ApiError("Invalid reason", param="reason")
    if world.switches.low_balance:
        raise ApiError("Insufficient funds in Stripe account.", code="balance_insufficient")
    made = objects.refund(
        world, charge, amount=amount, reason=body.get("reason"), metadata=forms.metadata(body)
    )
    world.stripe.refunds[made["id"]] = made
    _count(charge, amount)
    outcome = world.switches.refund_state
    made["status"] = "succeeded" if outcome == "processed" else "pending"
    with publishing(world) as publish:
        publish("refund.created", made)
        publish("charge.refunded", charge)
    if outcome != "processed":
        world.later(world.switches.refund_seconds, lambda: finish_refund(world, made, outcome))
    return made


def finish_refund(world: World, made: Entity, outcome: str) -> None:
    """Let a pending refund succeed (`processed`) or be `failed`."""
    if made["status"] != "pending":
        return
    with publishing(world) as publish:
        if outcome == "failed":
            made.update(status="failed", failure_reason="expired_or_canceled_card")
            _count(world.stripe.charges[made["charge"]], -made["amount"])
            publish("refund.failed", made)
        else:
            made["status"] = "succeeded"
        publish("refund.updated", made)


def open_dispute(
    world: World, charge: Entity, *, amount: int | None, reason: str, inquiry: bool
) -> Entity:
    """The customer's bank asks for the money back; an inquiry only asks why."""
    if not charge["paid"]:
        raise ApiError(f"Charge {charge['id']} has not been paid.")
    dispute = objects.dispute(
        world, charge, amount=amount or charge["amount"], reason=reason, inquiry=inquiry
    )
    world.stripe.disputes[dispute["id"]] = dispute
    charge["disputed"] = True
    with publishing(world) as publish:
        publish("charge.dispute.created", dispute)
        if not inquiry:
            publish("charge.dispute.funds_withdrawn", dispute)
    return dispute


def close_dispute(world: World, dispute: Entity, status: str) -> Entity:
    """End a dispute `won`, `lost` or, an inquiry, `warning_closed`; publish that."""
    if status not in ENDS:
        raise ApiError(f"a dispute ends as one of {', '.join(sorted(ENDS))}")
    if dispute["status"] in ENDS:
        raise ApiError("This dispute is already closed.")
    dispute.update(status=status, is_charge_refundable=False)
    with publishing(world) as publish:
        if status == "won" and dispute["balance_transactions"]:
            dispute["balance_transactions"].append(
                dispute["balance_transactions"][0]
                | {
                    "id": objects.new_id(world, "txn"), "amount": dispute["amount"],
                    "net": dispute["amount"], "created": unix_now(),
                }
            )  # fmt: skip
            publish("charge.dispute.funds_reinstated", dispute)
        publish("charge.dispute.closed", dispute)
    return dispute


def _charge(world: World, body: dict[str, Any]) -> Entity:
    if charge_id := body.get("charge"):
        if charge_id not in world.stripe.charges:
            raise missing("charge", charge_id, "charge")
        return world.stripe.charges[charge_id]
    intent_id = body.get("payment_intent")
    if not intent_id:
        raise ApiError(
            "One of the following params should be provided for this request: payment_intent or"
            " charge.",
            code="parameter_missing",
        )
    intent = world.stripe.intents.get(intent_id)
    if intent is None:
        raise missing("payment_intent", intent_id, "payment_intent")
    if intent["status"] != "succeeded":
        raise ApiError(
            f"This PaymentIntent ({intent_id}) does not have a successful charge to refund."
        )
    return world.stripe.charges[intent["latest_charge"]]


def _count(charge: Entity, amount: int) -> None:
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]

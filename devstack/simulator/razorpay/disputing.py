"""Disputes and settlements: begun by the control endpoints, read and answered over the API."""

from devstack.simulator.razorpay import entities
from devstack.simulator.razorpay.errors import ApiError
from devstack.simulator.razorpay.events import publishing
from devstack.simulator.razorpay.store import Entity
from devstack.simulator.world import World

MOVES = {"under_review", "action_required", "won", "lost", "closed"}
ENDS = {"won", "lost", "closed"}


def open_dispute(
    world: World,
    payment: Entity,
    *,
    amount: int | None = None,
    phase: str = "chargeback",
    reason: str = "goods_or_services_not_received_or_partially_received",
) -> Entity:
    """The customer's bank asks for the money back; `amount` is all of it by default."""
    if payment["status"] not in {"captured", "refunded"}:
        raise ApiError("The payment status should be captured for action to be taken")
    dispute = entities.dispute(
        world, payment=payment, amount=amount or payment["amount"], phase=phase, reason=reason
    )
    world.razorpay.disputes[dispute["id"]] = dispute
    with publishing(world) as publish:
        publish("payment.dispute.created", payment=payment, dispute=dispute)
    return dispute


def move(world: World, dispute: Entity, event: str) -> Entity:
    """Take a dispute on; the money is deducted only when it is lost."""
    if event not in MOVES:
        raise ApiError(f"a dispute moves to one of {', '.join(sorted(MOVES))}")
    if dispute["status"] in ENDS:
        raise ApiError("Action not allowed on a dispute that is over", step="dispute_action")
    dispute["status"] = "open" if event == "action_required" else event
    if event == "lost":
        dispute["amount_deducted"] = dispute["amount"]
    payment = world.razorpay.payments[dispute["payment_id"]]
    with publishing(world) as publish:
        publish(f"payment.dispute.{event}", payment=payment, dispute=dispute)
    return dispute


def settle(world: World) -> Entity | None:
    """Pay out what was captured less what was refunded since the last time; None for nothing."""
    store = world.razorpay
    payments = [
        p for p in store.payments.values() if p["captured"] and p["id"] not in store.settled
    ]
    refunds = [
        r
        for r in store.refunds.values()
        if r["status"] == "processed"
        and r["id"] not in store.settled
        and store.payments[r["payment_id"]]["captured"]
    ]
    if not payments and not refunds:
        return None
    fees = sum(p["fee"] for p in payments)
    amount = sum(p["amount"] for p in payments) - fees - sum(r["amount"] for r in refunds)
    settlement = entities.settlement(
        world, amount=amount, fees=fees, tax=sum(p["tax"] for p in payments)
    )
    store.settlements[settlement["id"]] = settlement
    for entity in [*payments, *refunds]:
        store.settled[entity["id"]] = settlement["id"]
    with publishing(world) as publish:
        publish("settlement.processed", settlement=settlement)
    return settlement


def recon_items(world: World) -> list[Entity]:
    """Return the lines of every settlement, as its combined report has them."""
    store, items = world.razorpay, []
    for entity_id, settlement_id in store.settled.items():
        settlement = store.settlements[settlement_id]
        entity = store.payments.get(entity_id) or store.refunds[entity_id]
        payment = store.payments[entity.get("payment_id", entity_id)]
        is_payment = entity is payment
        fee = payment["fee"] if is_payment else 0
        order = store.orders.get(payment["order_id"])
        items.append(
            {
                "entity_id": entity_id, "type": "payment" if is_payment else "refund",
                "debit": 0 if is_payment else entity["amount"],
                "credit": entity["amount"] - fee if is_payment else 0,
                "amount": entity["amount"], "currency": entity["currency"], "fee": fee,
                "tax": payment["tax"] if is_payment else 0, "on_hold": False, "settled": True,
                "created_at": entity["created_at"], "settled_at": settlement["created_at"],
                "settlement_id": settlement_id, "settlement_utr": settlement["utr"],
                "payment_id": None if is_payment else payment["id"],
                "order_id": payment["order_id"], "order_receipt": order and order["receipt"],
                "method": payment["method"], "dispute_id": None, "notes": entity["notes"],
            }
        )  # fmt: skip
    return items

"""Orders: what may be asked for, receipts that are unique, and how an order is shown."""

from typing import Any

from devstack.simulator.razorpay import bodies, entities
from devstack.simulator.razorpay.errors import ApiError
from devstack.simulator.razorpay.store import Entity
from devstack.simulator.world import World

FIELDS = (
    "amount", "currency", "receipt", "notes", "partial_payment", "first_payment_min_amount",
    "payment", "payment_capture", "unique_receipt",
)  # fmt: skip
TOO_SMALL = "Order amount less than minimum amount allowed"
SHORTEST_AUTOMATIC_MINUTES, LONGEST_MANUAL_MINUTES = 12, 7200


def create(world: World, body: dict[str, Any]) -> Entity:
    """Make an order; with `unique_receipt` a repeat returns the one that is there."""
    if "unique_receipt" in body and not world.switches.unique_receipt:
        raise bodies.extra_field("unique_receipt")
    amount = bodies.amount(body, what=TOO_SMALL, step="order_creation")
    currency, receipt, notes = bodies.currency(body), bodies.receipt(body), bodies.notes(body)
    manual = _is_manual(body)
    if receipt is not None and (there := world.razorpay.order_by_receipt.get(receipt)):
        order = world.razorpay.orders[there]
        # What a repeat with another amount gets is not published; it is no repeat.
        if body.get("unique_receipt") is True and order["amount"] == amount:
            return order
        raise ApiError("Order receipt should be unique.", field="receipt", step="order_creation")
    order = entities.order(world, amount=amount, currency=currency, receipt=receipt, notes=notes)
    world.razorpay.orders[order["id"]] = order
    if receipt is not None:
        world.razorpay.order_by_receipt[receipt] = order["id"]
    if manual:
        world.razorpay.manual_capture.add(order["id"])
    return order


def shown(world: World, order: Entity, expand: set[str]) -> Entity:
    """Return an order with what `expand[]` asks for."""
    with_card = "payments.card" in expand
    if "payments" not in expand and not with_card:
        return order
    payments = [
        payment(world, p, {"card"} if with_card else set())
        for p in reversed(world.razorpay.payments_of(order["id"]))
    ]
    return order | {"payments": {"entity": "collection", "count": len(payments), "items": payments}}


def payment(world: World, entity: Entity, expand: set[str]) -> Entity:
    """Return a payment; its card only if `expand[]` asks for it."""
    if "card" not in expand or not entity["card_id"]:
        return entity
    return entity | {"card": world.razorpay.cards[entity["card_id"]]}


def _is_manual(body: dict[str, Any]) -> bool:
    """Tell whether payments wait for our capture; without a word they are captured."""
    settings = body.get("payment")
    if settings is None:
        return str(body.get("payment_capture", 1)).lower() in {"0", "false"}
    if not isinstance(settings, dict) or settings.get("capture") not in {"automatic", "manual"}:
        raise ApiError("The capture field must be automatic or manual", field="payment")
    options = settings.get("capture_options") or {}
    if not isinstance(options, dict):
        raise ApiError("The capture options must be an array.", field="payment")
    automatic = options.get("automatic_expiry_period", SHORTEST_AUTOMATIC_MINUTES)
    if not isinstance(automatic, int) or automatic < SHORTEST_AUTOMATIC_MINUTES:
        raise ApiError("The automatic expiry period must be at least 12.", field="payment")
    manual = options.get("manual_expiry_period", LONGEST_MANUAL_MINUTES)
    if not isinstance(manual, int) or manual > LONGEST_MANUAL_MINUTES:
        raise ApiError("The manual expiry period may not be greater than 7200.", field="payment")
    return bool(settings["capture"] == "manual")

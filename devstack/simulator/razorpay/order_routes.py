"""Routes of orders and payments."""

from flask import Blueprint, Response, request

from devstack.simulator.answers import answer
from devstack.simulator.razorpay import bodies, capture, lists, ordering
from devstack.simulator.razorpay.errors import ApiError, unknown_id
from devstack.simulator.razorpay.store import Entity
from devstack.simulator.world import World, unix_now


def add(routes: Blueprint, world: World) -> None:
    """Add them to the API."""
    _orders(routes, world)
    _payments(routes, world)


def _orders(routes: Blueprint, world: World) -> None:
    @routes.post("/orders")
    def create_order() -> Response:
        return answer(ordering.create(world, bodies.read(*ordering.FIELDS)))

    @routes.get("/orders")
    def list_orders() -> Response:
        expand, receipt = lists.expansions(), request.args.get("receipt")
        authorized = request.args.get("authorized")
        found = [
            order
            for order in world.razorpay.orders.values()
            if receipt in {None, order["receipt"]}
            and authorized in {None, str(int(_has_authorized(world, order)))}
        ]
        return answer(lists.page(found, lambda order: ordering.shown(world, order, expand)))

    @routes.get("/orders/<order_id>")
    def fetch_order(order_id: str) -> Response:
        order = _order(world, order_id)
        return answer(ordering.shown(world, order, lists.expansions()))

    @routes.get("/orders/<order_id>/payments")
    def payments_of_order(order_id: str) -> Response:
        order, expand = _order(world, order_id), lists.expansions()
        found = reversed(world.razorpay.payments_of(order["id"]))
        return answer(lists.collection([ordering.payment(world, p, expand) for p in found]))

    @routes.patch("/orders/<order_id>")
    def edit_order(order_id: str) -> Response:
        order = _order(world, order_id)
        order["notes"] = bodies.notes(bodies.read("notes"), required=True)
        return answer(order)


def _payments(routes: Blueprint, world: World) -> None:
    @routes.get("/payments")
    def list_payments() -> Response:
        expand = lists.expansions()
        # The list alone runs behind; an order and its payments are right at once.
        lag = world.switches.list_lag_seconds / world.switches.speed
        found = [p for p in world.razorpay.payments.values() if p["created_at"] <= unix_now() - lag]
        return answer(lists.page(found, lambda entity: ordering.payment(world, entity, expand)))

    @routes.get("/payments/<payment_id>")
    def fetch_payment(payment_id: str) -> Response:
        entity = payment_of(world, payment_id)
        return answer(ordering.payment(world, entity, lists.expansions()))

    @routes.get("/payments/<payment_id>/card")
    def card_of_payment(payment_id: str) -> Response:
        card_id = payment_of(world, payment_id)["card_id"]
        if card_id is None:
            raise ApiError("The payment was not made by card")
        return answer(world.razorpay.cards[card_id])

    @routes.patch("/payments/<payment_id>")
    def edit_payment(payment_id: str) -> Response:
        entity = payment_of(world, payment_id)
        entity["notes"] = bodies.notes(bodies.read("notes"), required=True)
        return answer(entity)

    @routes.post("/payments/<payment_id>/capture")
    def capture_payment(payment_id: str) -> Response:
        entity = payment_of(world, payment_id)
        return answer(capture.asked_for(world, entity, bodies.read("amount", "currency")))


def payment_of(world: World, payment_id: str) -> Entity:
    """Return the payment of an id; raises `ApiError`."""
    if payment_id not in world.razorpay.payments:
        raise unknown_id(payment_id, "pay")
    return world.razorpay.payments[payment_id]


def _order(world: World, order_id: str) -> Entity:
    if order_id not in world.razorpay.orders:
        raise unknown_id(order_id, "order")
    return world.razorpay.orders[order_id]


def _has_authorized(world: World, order: Entity) -> bool:
    return any(
        p["status"] in {"authorized", "captured"} for p in world.razorpay.payments_of(order["id"])
    )

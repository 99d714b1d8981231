"""Routes of refunds, disputes and settlements."""

from datetime import datetime, timedelta, timezone

from flask import Blueprint, Response, request

from devstack.simulator.answers import answer
from devstack.simulator.razorpay import bodies, disputing, lists, refunding
from devstack.simulator.razorpay.errors import ApiError, unknown_id
from devstack.simulator.razorpay.order_routes import payment_of
from devstack.simulator.razorpay.store import Entity
from devstack.simulator.world import World

INDIA = timezone(timedelta(hours=5, minutes=30))
REFUND_FIELDS = ("amount", "speed", "notes", "receipt")
KEY_HEADER = "X-Refund-Idempotency"


def add(routes: Blueprint, world: World) -> None:
    """Add them to the API."""
    _refunds(routes, world)
    _disputes(routes, world)
    _settlements(routes, world)


def _refunds(routes: Blueprint, world: World) -> None:
    @routes.post("/payments/<payment_id>/refund")
    def refund_payment(payment_id: str) -> Response:
        payment, body = payment_of(world, payment_id), bodies.read(*REFUND_FIELDS)
        key = request.headers.get(KEY_HEADER)
        return answer(refunding.asked_for(world, payment, body, key))

    @routes.post("/refunds")
    def create_refund() -> Response:
        body = bodies.read("payment_id", *REFUND_FIELDS)
        payment = payment_of(world, str(body.pop("payment_id", "")))
        key = request.headers.get(KEY_HEADER)
        return answer(refunding.asked_for(world, payment, body, key))

    @routes.get("/refunds")
    def list_refunds() -> Response:
        return answer(lists.page(world.razorpay.refunds.values(), _as_it_is))

    @routes.get("/refunds/<refund_id>")
    def fetch_refund(refund_id: str) -> Response:
        return answer(_refund(world, refund_id))

    @routes.patch("/refunds/<refund_id>")
    def edit_refund(refund_id: str) -> Response:
        refund = _refund(world, refund_id)
        refund["notes"] = bodies.notes(bodies.read("notes"), required=True)
        return answer(refund)

    @routes.get("/payments/<payment_id>/refunds")
    def refunds_of_payment(payment_id: str) -> Response:
        payment = payment_of(world, payment_id)
        return answer(lists.page(world.razorpay.refunds_of(payment["id"]), _as_it_is))

    @routes.get("/payments/<payment_id>/refunds/<refund_id>")
    def refund_of_payment(payment_id: str, refund_id: str) -> Response:
        payment, refund = payment_of(world, payment_id), _refund(world, refund_id)
        if refund["payment_id"] != payment["id"]:
            raise ApiError("The id provided does not exist")
        return answer(refund)


def _disputes(routes: Blueprint, world: World) -> None:
    def expanded(dispute: Entity) -> Entity:
        if "payment" not in lists.expansions():
            return dispute
        return dispute | {"payment": world.razorpay.payments[dispute["payment_id"]]}

    @routes.get("/disputes")
    def list_disputes() -> Response:
        return answer(lists.page(world.razorpay.disputes.values(), expanded))

    @routes.get("/disputes/<dispute_id>")
    def fetch_dispute(dispute_id: str) -> Response:
        return answer(expanded(dispute_of(world, dispute_id)))

    @routes.post("/disputes/<dispute_id>/accept")
    def accept_dispute(dispute_id: str) -> Response:
        return answer(disputing.move(world, dispute_of(world, dispute_id), "lost"))

    @routes.patch("/disputes/<dispute_id>/contest")
    def contest_dispute(dispute_id: str) -> Response:
        dispute = dispute_of(world, dispute_id)
        body = bodies.read("action", *dispute["evidence"])
        action = body.pop("action", "draft")
        dispute["evidence"] |= body
        if action == "submit":
            disputing.move(world, dispute, "under_review")
        return answer(dispute)


def _settlements(routes: Blueprint, world: World) -> None:
    @routes.get("/settlements")
    def list_settlements() -> Response:
        return answer(lists.page(world.razorpay.settlements.values(), _as_it_is))

    @routes.get("/settlements/<settlement_id>")
    def fetch_settlement(settlement_id: str) -> Response:
        if settlement_id not in world.razorpay.settlements:
            raise unknown_id(settlement_id, "setl")
        return answer(world.razorpay.settlements[settlement_id])

    @routes.get("/settlements/recon/combined")
    def report() -> Response:
        asked = {name: request.args.get(name, type=int) for name in ("year", "month", "day")}
        if asked["year"] is None or asked["month"] is None:
            raise ApiError("The year and month fields are required.")

        def is_asked_for(item: Entity) -> bool:
            day = datetime.fromtimestamp(item["settled_at"], INDIA)
            return all(value in {None, getattr(day, name)} for name, value in asked.items())

        items = [item for item in disputing.recon_items(world) if is_asked_for(item)]
        return answer(lists.collection(items))


def dispute_of(world: World, dispute_id: str) -> Entity:
    """Return the dispute of an id; raises `ApiError`."""
    if dispute_id not in world.razorpay.disputes:
        raise unknown_id(dispute_id, "disp")
    return world.razorpay.disputes[dispute_id]


def _refund(world: World, refund_id: str) -> Entity:
    if refund_id not in world.razorpay.refunds:
        raise unknown_id(refund_id, "rfnd")
    return world.razorpay.refunds[refund_id]


def _as_it_is(entity: Entity) -> Entity:
    return entity

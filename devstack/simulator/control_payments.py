"""Control endpoints that move money: what customers, banks and time do."""

from typing import Any

from flask import Blueprint, Response

from devstack.simulator import control_bodies as read
from devstack.simulator.answers import answer
from devstack.simulator.control_bodies import ControlError
from devstack.simulator.razorpay import attempts, disputing, refunding
from devstack.simulator.razorpay import events as razorpay_events
from devstack.simulator.razorpay.money_routes import dispute_of
from devstack.simulator.razorpay.order_routes import payment_of
from devstack.simulator.razorpay.store import Entity
from devstack.simulator.stripe import events as stripe_events
from devstack.simulator.stripe import money, sessions
from devstack.simulator.stripe.checkout import success_url
from devstack.simulator.stripe.routes import object_of
from devstack.simulator.world import World

RAZORPAY_OUTCOMES = ("success", "failure", "late_authorization", "authorized")
STRIPE_OUTCOMES = ("success", "failure", "late_authorization", "late_failure")


def add_payments(routes: Blueprint, world: World) -> None:
    """Add the endpoints."""
    _add_pay(routes, world)
    _add_time(routes, world)
    _add_disputes(routes, world)


def _add_pay(routes: Blueprint, world: World) -> None:
    @routes.post("/pay")
    def pay() -> Response:
        given = read.body("order_id", "session_id", "outcome", "method", "amount", "currency")
        if "session_id" in given:
            return answer(_pay_session(world, given))
        if not isinstance(given.get("order_id"), str):
            raise ControlError("order_id (Razorpay) or session_id (Stripe) is needed")
        payment = attempts.pay(
            world, order_id=given["order_id"],
            outcome=read.choice(given, "outcome", RAZORPAY_OUTCOMES),
            method=read.choice(given, "method", attempts.METHODS),
            amount=read.amount(given), currency=read.currency(given),
        )  # fmt: skip
        return answer(_paid(world, payment))

    @routes.post("/foreign-payments")
    def pay_elsewhere() -> Response:
        given = read.body("gateway", "amount", "with_order")
        amount = read.amount(given) or 49_900
        if read.choice(given, "gateway", ("razorpay", "stripe")) == "stripe":
            with stripe_events.publishing(world) as tell_stripe:
                intent = sessions.pay_elsewhere(world, tell_stripe, amount=amount)
            return answer({"payment_intent": intent["id"], "status": intent["status"]})
        with razorpay_events.publishing(world) as publish:
            payment = attempts.pay_elsewhere(
                world, publish, amount=amount, with_order=given.get("with_order")
            )
        return answer({"payment_id": payment["id"], "order_id": payment["order_id"],
                       "status": payment["status"]})  # fmt: skip


def _add_time(routes: Blueprint, world: World) -> None:
    """What would come by itself after minutes or days comes now."""

    @routes.post("/authorize")
    def authorize() -> Response:
        given = read.body("payment_id", "session_id")
        if "session_id" in given:
            session = object_of(world, "checkout/sessions", str(given["session_id"]))
            sessions.finish_late(world, session, succeeds=True)
            return answer(_session(session))
        payment = payment_of(world, str(given.get("payment_id")))
        attempts.authorize_late(world, payment)
        return answer(_paid(world, payment))

    @routes.post("/expire-authorization")
    def expire_authorization() -> Response:
        payment = payment_of(world, str(read.body("payment_id").get("payment_id")))
        if payment["status"] != "authorized":
            raise ControlError(f"the payment is {payment['status']}, not authorized")
        with razorpay_events.publishing(world) as publish:
            refunding.refund_uncaptured(world, payment, publish)
        return answer(_paid(world, payment))

    @routes.post("/finish-refund")
    def finish_refund() -> Response:
        given = read.body("refund_id", "outcome")
        outcome = read.choice(given, "outcome", ("processed", "failed"))
        refund_id = str(given.get("refund_id"))
        if refund_id in world.razorpay.refunds:
            refund = world.razorpay.refunds[refund_id]
            refunding.finish(world, refund, outcome)
        else:
            refund = object_of(world, "refunds", refund_id)
            money.finish_refund(world, refund, outcome)
        return answer(refund)

    @routes.post("/settle")
    def settle() -> Response:
        return answer({"settlement": disputing.settle(world)})


def _add_disputes(routes: Blueprint, world: World) -> None:
    @routes.post("/disputes")
    def open_dispute() -> Response:
        given = read.body("payment_id", "charge", "amount", "phase", "reason", "inquiry")
        amount = read.amount(given)
        if "charge" in given:
            charge = object_of(world, "charges", str(given["charge"]))
            reason, inquiry = str(given.get("reason", "fraudulent")), bool(given.get("inquiry"))
            return answer(
                money.open_dispute(world, charge, amount=amount, reason=reason, inquiry=inquiry)
            )
        chosen = {name: given[name] for name in ("phase", "reason") if name in given}
        payment = payment_of(world, str(given.get("payment_id")))
        return answer(disputing.open_dispute(world, payment, amount=amount, **chosen))

    @routes.post("/disputes/<dispute_id>")
    def move_dispute(dispute_id: str) -> Response:
        status = str(read.body("status").get("status"))
        if dispute_id in world.stripe.disputes:
            return answer(money.close_dispute(world, world.stripe.disputes[dispute_id], status))
        return answer(disputing.move(world, dispute_of(world, dispute_id), status))


def _pay_session(world: World, given: dict[str, Any]) -> Entity:
    session = object_of(world, "checkout/sessions", str(given["session_id"]))
    sessions.pay(world, session, read.choice(given, "outcome", STRIPE_OUTCOMES))
    return _session(session)


def _session(session: Entity) -> Entity:
    return {
        "session_id": session["id"], "payment_intent": session["payment_intent"],
        "status": session["status"], "payment_status": session["payment_status"],
        "success_url": success_url(session),
    }  # fmt: skip


def _paid(world: World, payment: Entity) -> Entity:
    """Return what checkout hands over, by the names it has there, and the payment's status."""
    answer: Entity = {
        "razorpay_payment_id": payment["id"], "razorpay_order_id": payment["order_id"],
        "status": payment["status"],
    }  # fmt: skip
    if payment["status"] in {"authorized", "captured"}:
        answer["razorpay_signature"] = attempts.signature(world, payment)
    return answer

"""Checkout Sessions: made from line items, expired, paid."""

from typing import Any, Literal

from devstack.simulator.stripe import forms, objects
from devstack.simulator.stripe.errors import ApiError
from devstack.simulator.stripe.events import Publish, publishing
from devstack.simulator.stripe.store import Entity
from devstack.simulator.world import World, unix_now

Outcome = Literal["success", "failure", "late_authorization", "late_failure"]


def create(world: World, body: dict[str, Any], *, page_url: str) -> Entity:
    """Make a session of mode payment; its page is below `page_url`."""
    mode = forms.require(body, "mode")
    if mode != "payment":
        raise ApiError("The simulator knows sessions of mode `payment` only.", param="mode")
    items = [_line_item(world, item) for item in (body.get("line_items") or {}).values()]
    if not items:
        raise ApiError(
            "Missing required param: line_items.", code="parameter_missing", param="line_items"
        )
    amount = sum(item["amount_total"] for item in items)
    given: dict[str, Any] = {
        name: body[name]
        for name in ("client_reference_id", "success_url", "cancel_url", "customer_email")
        if body.get(name)
    }
    if (expires_at := forms.number(body, "expires_at")) is not None:
        if not unix_now() + 1_800 - 60 <= expires_at <= unix_now() + 86_400:
            raise ApiError("The `expires_at` must be between 30 minutes and 24 hours from now.",
                           param="expires_at")  # fmt: skip
        given["expires_at"] = expires_at
    session = objects.session(
        world, amount=amount, currency=items[0]["currency"], url=page_url,
        metadata=forms.metadata(body), **given,
    )  # fmt: skip
    world.stripe.sessions[session["id"]] = session
    world.stripe.line_items[session["id"]] = items
    world.stripe.intent_metadata[session["id"]] = forms.metadata(
        body.get("payment_intent_data") or {}
    )
    world.later(session["expires_at"] - unix_now(), lambda: _expire_unpaid(world, session))
    return session


def expire(world: World, session: Entity) -> Entity:
    """End a session that is open; raises `ApiError` for any other."""
    if session["status"] != "open":
        raise ApiError(
            "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout"
            f" Session has a status of `{session['status']}`.",
        )  # fmt: skip
    session.update(status="expired", url=None)
    with publishing(world) as publish:
        publish("checkout.session.expired", session)
    return session


def pay(world: World, session: Entity, outcome: Outcome) -> Entity:
    """Play one attempt; a session that fails stays open. Raises `ApiError` for one that is over."""
    if session["status"] != "open":
        raise ApiError(f"This Checkout Session is {session['status']} and cannot be paid.")
    _distort(world, session)
    intent = _intent_of(world, session)
    late = outcome in {"late_authorization", "late_failure"} or (
        world.rolls("late_authorization") and outcome == "success"
    )
    with publishing(world) as publish:
        if outcome == "failure":
            fail(world, intent, publish)
        elif late:
            intent["status"] = "processing"
            _complete(session, paid=False)
            publish("payment_intent.processing", intent)
            publish("checkout.session.completed", session)
        else:
            succeed(world, intent, publish)
            _complete(session, paid=True)
            publish("checkout.session.completed", session)
        if world.rolls("foreign_payment"):
            pay_elsewhere(world, publish)
    if late:
        world.later(
            world.switches.late_authorization_seconds,
            lambda: finish_late(world, session, succeeds=outcome != "late_failure"),
        )
    return session


def finish_late(world: World, session: Entity, *, succeeds: bool) -> None:
    """The delayed method pays or fails; nothing happens to a session that waits for none."""
    intent = world.stripe.intents.get(session["payment_intent"] or "")
    if intent is None or intent["status"] != "processing":
        return
    with publishing(world) as publish:
        if succeeds:
            succeed(world, intent, publish)
            session["payment_status"] = "paid"
            publish("checkout.session.async_payment_succeeded", session)
        else:
            fail(world, intent, publish)
            publish("checkout.session.async_payment_failed", session)


def succeed(world: World, intent: Entity, publish: Publish) -> Entity:
    """Take the money of an intent and return the charge."""
    charge = objects.charge(world, intent, paid=True)
    world.stripe.charges[charge["id"]] = charge
    intent.update(
        status="succeeded", amount_received=intent["amount"], latest_charge=charge["id"],
        last_payment_error=None, payment_method=objects.new_id(world, "pm"),
    )  # fmt: skip
    publish("charge.succeeded", charge)
    publish("payment_intent.succeeded", intent)
    return charge


def capture(world: World, intent: Entity) -> Entity:
    """Take what an intent has reserved; raises `ApiError` for one that has reserved nothing."""
    if intent["status"] != "requires_capture":
        raise ApiError(
            "This PaymentIntent could not be captured because it has a status of"
            f" {intent['status']}.",
            code="payment_intent_unexpected_state",
        )
    with publishing(world) as publish:
        succeed(world, intent, publish)
    return intent


def fail(world: World, intent: Entity, publish: Publish) -> None:
    """Decline an attempt; the intent waits for another."""
    charge = objects.charge(world, intent, paid=False)
    world.stripe.charges[charge["id"]] = charge
    intent.update(
        status="requires_payment_method", latest_charge=charge["id"],
        last_payment_error={
            "charge": charge["id"], "code": "card_declined", "decline_code": "generic_decline",
            "message": "Your card was declined.", "type": "card_error",
        },
    )  # fmt: skip
    publish("charge.failed", charge)
    publish("payment_intent.payment_failed", intent)


def pay_elsewhere(world: World, publish: Publish, *, amount: int = 49_900) -> Entity:
    """A payment of another shop of the same account, without a session; return its intent."""
    intent = objects.intent(world, amount=amount, currency="inr", metadata={})
    world.stripe.intents[intent["id"]] = intent
    succeed(world, intent, publish)
    return intent


def _distort(world: World, session: Entity) -> None:
    """Let the amount differ from what was ordered, as a discount or another currency does."""
    if world.rolls("short_payment") and session["payment_intent"] is None:
        discount = session["amount_subtotal"] - session["amount_subtotal"] // 2
        session["amount_total"] = session["amount_subtotal"] - discount
        session["total_details"]["amount_discount"] = discount
    if world.rolls("other_currency") and session["payment_intent"] is None:
        session["currency"] = "usd"


def _intent_of(world: World, session: Entity) -> Entity:
    """Return the intent, made at the first attempt as Stripe makes it."""
    if session["payment_intent"] is None:
        intent = objects.intent(
            world, amount=session["amount_total"], currency=session["currency"],
            metadata=world.stripe.intent_metadata[session["id"]],
        )  # fmt: skip
        world.stripe.intents[intent["id"]] = intent
        session["payment_intent"] = intent["id"]
    return world.stripe.intents[session["payment_intent"]]


def _complete(session: Entity, *, paid: bool) -> None:
    session.update(
        status="complete", payment_status="paid" if paid else "unpaid", url=None,
        customer_details=objects.CUSTOMER,
    )  # fmt: skip


def _expire_unpaid(world: World, session: Entity) -> None:
    if session["status"] == "open":
        expire(world, session)


def _line_item(world: World, item: Any) -> Entity:
    data = forms.require(item, "price_data", param="line_items[0][price_data]")
    unit = forms.number(data, "unit_amount", param="line_items[0][price_data][unit_amount]")
    currency = forms.require(data, "currency", param="line_items[0][price_data][currency]")
    if unit is None or unit < 1:
        raise ApiError("Invalid positive integer", code="parameter_invalid_integer",
                       param="line_items[0][price_data][unit_amount]")  # fmt: skip
    quantity = forms.number(item, "quantity") or 1
    name = (data.get("product_data") or {}).get("name")
    return {
        "id": objects.new_id(world, "li"), "object": "item", "amount_subtotal": unit * quantity,
        "amount_total": unit * quantity, "currency": str(currency).lower(), "description": name,
        "quantity": quantity,
    }  # fmt: skip

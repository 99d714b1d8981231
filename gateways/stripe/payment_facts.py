"""Stripe's Checkout Sessions and PaymentIntents in our words: the one place that knows them.

Used by the client for answers and by the webhook parser for the objects of events. A session is an
order and its intent the payment: the id of the payment is the intent's from whichever it is read.
"""

from collections.abc import Mapping
from dataclasses import replace

from billing.payments import OrderFacts, PaymentFacts, Seen
from gateways.entity import METHOD_MAX_LENGTH, Entity

URL_MAX_LENGTH = 2_000


def session_facts(session: Mapping[str, object]) -> tuple[OrderFacts, PaymentFacts | None]:
    """Read a Checkout Session of mode payment, its intent expanded or not.

    Returns the order, and the payment once there is one. Raises `UnreadableAnswer`, also for a
    session of another mode, which need not have an amount.
    """
    entity = Entity("stripe", "checkout.session", session)
    order = OrderFacts(
        gateway="stripe",
        order_id=entity.identifier("id"),
        receipt=_receipt_of_session(entity),
        amount_paise=entity.paise("amount_total"),
        currency=entity.currency(),
        ended=entity.fields.get("status") == "expired",
        checkout_url=entity.noted_text("url", max_length=URL_MAX_LENGTH),
    )
    return order, _payment_of_session(entity, order)


def intent_facts(intent: Mapping[str, object]) -> PaymentFacts:
    """Read a PaymentIntent, its latest charge expanded or not; raises `UnreadableAnswer`.

    The id of its session is not in it. Only an expanded charge says what was refunded of it.
    """
    entity = Entity("stripe", "payment_intent", intent)
    seen = _seen(entity)
    charge = entity.inner("latest_charge", "charge")
    error = entity.inner("last_payment_error", "last_payment_error")
    return PaymentFacts(
        gateway="stripe",
        payment_id=entity.identifier("id"),
        seen=seen,
        amount_paise=entity.paise("amount_received" if seen is Seen.CAPTURED else "amount"),
        currency=entity.currency(),
        receipt=_receipt_in_metadata(entity),
        refunded_paise=charge.paise_or_zero("amount_refunded") if charge else 0,
        method=_method(entity, charge),
        error_code=error.noted_code("code") if error else None,
        error_reason=error.noted_code("decline_code") if error else None,
        happened_at=(charge or entity).moment_or_none("created"),
    )


def _payment_of_session(session: Entity, order: OrderFacts) -> PaymentFacts | None:
    """Return the payment; on money the session overrules the intent."""
    status = session.state("payment_status")
    if status not in {"paid", "unpaid", "no_payment_required"}:
        raise session.problem("payment_status", "is not a known status")
    intent = session.inner("payment_intent", "payment_intent")
    if intent:
        known = intent_facts(intent.fields)
        payment = replace(known, order_id=order.order_id, receipt=order.receipt or known.receipt)
    elif payment_id := session.identifier_or_none("payment_intent"):
        # A delayed method is still under way; a session that expired was never paid.
        seen = Seen.FAILED if order.ended else Seen.CREATED
        payment = PaymentFacts(
            gateway="stripe",
            payment_id=payment_id,
            seen=seen,
            amount_paise=order.amount_paise,
            currency=order.currency,
            order_id=order.order_id,
            receipt=order.receipt,
            method=_method(session, None),
        )
    elif status == "paid":
        raise session.problem("payment_intent", "must be there when a session is paid")
    else:
        return None
    if status == "paid":
        return replace(payment, seen=Seen.CAPTURED, amount_paise=order.amount_paise)
    return payment


def _seen(intent: Entity) -> Seen:
    status = intent.state("status")
    if status == "succeeded":
        return Seen.CAPTURED
    if status == "requires_capture":
        return Seen.AUTHORIZED
    # A cancelled intent never paid; what it had reserved went back without our doing.
    failed = status == "requires_payment_method" and intent.inner("last_payment_error", "error")
    if failed or status == "canceled":
        return Seen.FAILED
    # requires_confirmation, requires_action, processing, and whatever comes to stand between them.
    return Seen.CREATED


def _receipt_of_session(session: Entity) -> str | None:
    if receipt := _receipt_in_metadata(session):
        return receipt
    if session.fields.get("payment_link") is not None:
        return None  # there the customer's browser can set the reference, in the link's address
    return session.receipt_or_none("client_reference_id")


def _receipt_in_metadata(entity: Entity) -> str | None:
    metadata = entity.inner("metadata", "metadata")
    return metadata.receipt_or_none() if metadata else None


def _method(entity: Entity, charge: Entity | None) -> str | None:
    """Return what it was paid with; without the charge, only if a single method was offered."""
    details = charge.inner("payment_method_details", "payment_method_details") if charge else None
    if details:
        return details.noted_text("type", max_length=METHOD_MAX_LENGTH)
    offered = entity.fields.get("payment_method_types")
    if not isinstance(offered, list) or len(offered) != 1:
        return None
    only = Entity(entity.gateway, "payment_method_types", {"type": offered[0]})
    return only.noted_text("type", max_length=METHOD_MAX_LENGTH)

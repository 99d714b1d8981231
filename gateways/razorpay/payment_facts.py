"""Razorpay's payments and orders in our words: the one place that knows their fields.

Used by the client for answers and by the webhook parser for the entities of a payload. Notes are
never read: the browser writes those of a payment.
"""

from collections.abc import Mapping

from billing.payments import OrderFacts, PaymentFacts, Seen
from gateways.entity import METHOD_MAX_LENGTH, Entity

_SEEN = {
    "created": Seen.CREATED,
    "authorized": Seen.AUTHORIZED,
    "captured": Seen.CAPTURED,
    "failed": Seen.FAILED,
}


def payment_facts(entity: Mapping[str, object], *, receipt: str | None = None) -> PaymentFacts:
    """Read a payment entity; `receipt` is that of its order, if the caller has seen it.

    Raises `UnreadableAnswer`, which names the field and never its value.
    """
    payment = Entity("razorpay", "payment", entity)
    return PaymentFacts(
        gateway="razorpay",
        payment_id=payment.identifier("id"),
        seen=_seen(payment),
        amount_paise=payment.paise("amount"),
        currency=payment.currency(),
        order_id=payment.identifier_or_none("order_id"),
        receipt=receipt,
        refunded_paise=payment.paise_or_zero("amount_refunded"),
        method=payment.noted_text("method", max_length=METHOD_MAX_LENGTH),
        fee_paise=payment.noted_paise("fee"),
        tax_paise=payment.noted_paise("tax"),
        error_code=payment.noted_code("error_code"),
        error_reason=payment.noted_code("error_reason"),
        happened_at=payment.moment_or_none("created_at"),
    )


def order_facts(entity: Mapping[str, object]) -> OrderFacts:
    """Read an order entity; raises `UnreadableAnswer`."""
    order = Entity("razorpay", "order", entity)
    return OrderFacts(
        gateway="razorpay",
        order_id=order.identifier("id"),
        receipt=order.receipt_or_none(),
        amount_paise=order.paise("amount"),
        currency=order.currency(),
    )


def _seen(payment: Entity) -> Seen:
    status = payment.state("status")
    if status in _SEEN:
        return _SEEN[status]
    if status != "refunded":
        raise payment.problem("status", "is not a known status")
    # Money that was never captured goes back as a refund too (a capture time-out, a second payment
    # on a paid order); only this flag shows it. It is text in the bodies of some events.
    captured = payment.fields.get("captured")
    if captured in (True, "1"):
        return Seen.CAPTURED
    if captured in (False, "0"):
        return Seen.RETURNED
    raise payment.problem("captured", "must be true or false when the status is refunded")

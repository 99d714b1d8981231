"""Unmatched payments whose order is known by now, as facts for `take_in_payments`.

Called by the tasks: for one order when the gateway has opened it, and by the sweep for all orders.
"""

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from billing.payments.facts import PaymentFacts, Seen
from db.models import Order, Payment
from service import request_ids


def facts_for_order(session: Session, order: Order) -> list[PaymentFacts]:
    """Return the facts of the unmatched payments that belong to an order."""
    found = session.scalars(
        select(Payment).where(
            Payment.state == "unmatched",
            Payment.gateway == order.gateway,
            or_(
                Payment.gateway_order_id == order.gateway_order_id,
                Payment.receipt == order.receipt,
            ),
        )
    )
    return [_facts_of(payment) for payment in found]


def facts_with_known_order(session: Session, *, limit: int) -> list[PaymentFacts]:
    """Return the facts of unmatched payments whose order is on record, oldest payments first."""
    found = session.scalars(
        select(Payment)
        .join(
            Order,
            (Order.gateway == Payment.gateway)
            & or_(
                Order.gateway_order_id == Payment.gateway_order_id,
                Order.receipt == Payment.receipt,
            ),
        )
        .where(Payment.state == "unmatched")
        .order_by(Payment.id)
        .limit(limit)
    )
    return [_facts_of(payment) for payment in found]


def _facts_of(payment: Payment) -> PaymentFacts:
    return PaymentFacts(
        gateway="stripe" if payment.gateway == "stripe" else "razorpay",
        payment_id=payment.gateway_payment_id,
        seen=Seen.CAPTURED,
        amount_paise=payment.amount_paise,
        currency=payment.currency,
        order_id=payment.gateway_order_id,
        receipt=payment.receipt,
        refunded_paise=payment.refunded_paise,
        request_id=request_ids.current() or payment.request_id,
    )

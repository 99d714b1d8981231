"""The rows of payments and of the orders they are for: found, made and locked.

Called by `billing/payments/intake.py`. Locks orders by id, then payments by the gateway's id.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import or_, select, text, tuple_
from sqlalchemy.orm import Session

from billing.payments.facts import GatewayName, PaymentFacts, Seen
from db.bulk import int_array, text_array
from db.models import Order, Payment


def lock_orders(session: Session, facts: Sequence[PaymentFacts]) -> Sequence[Order]:
    """Return the orders that the facts, or what is on record of their payments, name; locked."""
    ids = session.scalars(
        _ORDERS,
        {
            "gateways": text_array(f.gateway for f in facts),
            "payments": text_array(f.payment_id for f in facts),
            "orders": text_array(f.order_id for f in facts),
            "receipts": text_array(f.receipt for f in facts),
        },
    ).all()
    if not ids:
        return []
    return session.scalars(
        select(Order)
        .where(Order.id.in_(ids))
        .order_by(Order.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()


def lock_payments(session: Session, facts: Sequence[PaymentFacts]) -> Sequence[Payment]:
    """Return the payments of the facts, locked; each exists."""
    keys = {(f.gateway, f.payment_id) for f in facts}
    return session.scalars(
        select(Payment)
        .where(tuple_(Payment.gateway, Payment.gateway_payment_id).in_(keys))
        .order_by(Payment.gateway, Payment.gateway_payment_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()


_ORDERS = text("""
WITH f AS (SELECT * FROM unnest(CAST(:gateways AS text[]), CAST(:payments AS text[]),
                                CAST(:orders AS text[]), CAST(:receipts AS text[]))
                         AS f(gateway, payment, order_id, receipt))
SELECT o.id FROM billing_orders o JOIN f
    ON o.gateway = f.gateway AND o.gateway_order_id = f.order_id
 UNION
SELECT o.id FROM billing_orders o JOIN f ON o.receipt = f.receipt AND o.gateway = f.gateway
 UNION
SELECT p.order_id FROM billing_payments p JOIN f
    ON p.gateway = f.gateway AND p.gateway_payment_id = f.payment
 WHERE p.order_id IS NOT NULL
""")
_MAKE = text("""
INSERT INTO billing_payments (gateway, gateway_payment_id, state, amount_paise, currency,
                              created_at, updated_at)
SELECT f.gateway, f.payment, 'created', f.amount, f.currency, :now, :now
  FROM unnest(CAST(:gateways AS text[]), CAST(:payments AS text[]), CAST(:amounts AS bigint[]),
              CAST(:currencies AS text[])) AS f(gateway, payment, amount, currency)
    ON CONFLICT (gateway, gateway_payment_id) DO NOTHING RETURNING id
""")


def make_missing(session: Session, facts: Sequence[PaymentFacts], *, now: datetime) -> set[int]:
    """Make the payments that are not known yet, as `created`; return the ids of the new ones."""
    # In one order everywhere, so that two that make the same payments do not wait for each other.
    first = {(f.gateway, f.payment_id): f for f in reversed(facts)}
    ordered = [first[key] for key in sorted(first)]
    made = session.scalars(
        _MAKE,
        {
            "gateways": text_array(f.gateway for f in ordered),
            "payments": text_array(f.payment_id for f in ordered),
            "amounts": int_array(f.amount_paise for f in ordered),
            "currencies": text_array(f.currency for f in ordered),
            "now": now,
        },
    )
    return set(made)


def lock_or_make(
    session: Session, gateway: GatewayName, payment_id: str, *, now: datetime
) -> Payment:
    """Return a payment, locked; one that nothing else is known of (yet) is made, of no amount."""
    unknown = nothing_known(gateway, payment_id)
    make_missing(session, [unknown], now=now)
    return lock_payments(session, [unknown])[0]


def nothing_known(gateway: GatewayName, payment_id: str) -> PaymentFacts:
    """Return the facts of a payment of which nothing but its id is known."""
    return PaymentFacts(gateway, payment_id, Seen.CREATED, amount_paise=0, currency="INR")


def known(session: Session, gateway: GatewayName, payment_ids: Iterable[str]) -> set[str]:
    """Return those of the gateway's ids that are on record."""
    found = session.scalars(
        select(Payment.gateway_payment_id).where(
            Payment.gateway == gateway, Payment.gateway_payment_id.in_(set(payment_ids))
        )
    )
    return set(found)


def waiting_for(session: Session, order: Order) -> list[PaymentFacts]:
    """Return the facts of unmatched payments that belong to `order`, for `take_in`."""
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
    return [as_facts(payment) for payment in found]


def all_waiting(session: Session, *, limit: int) -> list[PaymentFacts]:
    """Return the facts of unmatched payments whose order is known by now, for `take_in`."""
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
    return [as_facts(payment) for payment in found]


def as_facts(payment: Payment) -> PaymentFacts:
    """Return what is on record of an unmatched payment as news of it."""
    return PaymentFacts(
        gateway="stripe" if payment.gateway == "stripe" else "razorpay",
        payment_id=payment.gateway_payment_id,
        seen=Seen.CAPTURED,
        amount_paise=payment.amount_paise,
        currency=payment.currency,
        order_id=payment.gateway_order_id,
        receipt=payment.receipt,
        refunded_paise=payment.refunded_paise,
    )

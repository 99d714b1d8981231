"""Locks on orders and payments: orders by id, then payments by the gateway's id.

Called by the intake of payments, and by `billing/returns/` for the payment that a refund or a
chargeback is about.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, text, tuple_
from sqlalchemy.orm import Session

from billing.payments.facts import GatewayName, PaymentFacts, Seen
from db.bulk import int_array, text_array
from db.models import Order, Payment


def lock_orders(session: Session, facts: Sequence[PaymentFacts]) -> Sequence[Order]:
    """Return the orders, locked, that the facts name or that their payments are recorded for."""
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
    """Return the payments of the facts, locked; all of them must be on record."""
    keys = {(f.gateway, f.payment_id) for f in facts}
    return session.scalars(
        select(Payment)
        .where(tuple_(Payment.gateway, Payment.gateway_payment_id).in_(keys))
        .order_by(Payment.gateway, Payment.gateway_payment_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()


def add_missing_payments(
    session: Session, facts: Sequence[PaymentFacts], *, now: datetime
) -> set[int]:
    """Insert the payments that are not on record, as `created`; return the ids of the new rows."""
    # Sorted everywhere, so that two transactions that insert the same payments do not deadlock.
    first = {(f.gateway, f.payment_id): f for f in reversed(facts)}
    ordered = [first[key] for key in sorted(first)]
    added = session.scalars(
        _ADD,
        {
            "gateways": text_array(f.gateway for f in ordered),
            "payments": text_array(f.payment_id for f in ordered),
            "amounts": int_array(f.amount_paise for f in ordered),
            "currencies": text_array(f.currency for f in ordered),
            "request_ids": text_array(f.request_id for f in ordered),
            "now": now,
        },
    )
    return set(added)


def lock_or_add_payment(
    session: Session, gateway: GatewayName, payment_id: str, *, now: datetime
) -> Payment:
    """Return a payment, locked; one that is not on record is added with an amount of zero."""
    facts = [bare_facts(gateway, payment_id)]
    add_missing_payments(session, facts, now=now)
    return lock_payments(session, facts)[0]


def bare_facts(gateway: GatewayName, payment_id: str) -> PaymentFacts:
    """Return the facts of a payment of which only the id is known."""
    return PaymentFacts(gateway, payment_id, Seen.CREATED, amount_paise=0, currency="INR")


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
_ADD = text("""
INSERT INTO billing_payments (gateway, gateway_payment_id, state, amount_paise, currency,
                              created_at, updated_at, request_id)
SELECT f.gateway, f.payment, 'created', f.amount, f.currency, :now, :now, f.request_id
  FROM unnest(CAST(:gateways AS text[]), CAST(:payments AS text[]), CAST(:amounts AS bigint[]),
              CAST(:currencies AS text[]), CAST(:request_ids AS text[]))
       AS f(gateway, payment, amount, currency, request_id)
    ON CONFLICT (gateway, gateway_payment_id) DO NOTHING RETURNING id
""")

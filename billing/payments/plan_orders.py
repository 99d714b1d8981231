"""Paid plan orders whose year was not added yet: found by the sweep, and added.

A payment adds its year in the transaction that counts it (`billing/payments/intake.py`). An order
that is found here was paid under a version that knew no plans.

Called by `tasks/plans/enforcement.py`.
"""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
from billing import audit, plans
from billing.ledger import post
from billing.payments import orders
from billing.plans import CALENDAR_ERRORS, Owner, PlanRefused, grants, refunded_plans
from billing.topics import Topic
from db import outbox
from db.models import Order, Payment
from db.outbox import NewNotice

MONEY_IS_BACK = "payment_refunded"


@dataclass(frozen=True, slots=True)
class HandledOrder:
    """A paid order that the sweep has handled."""

    order_id: int
    receipt: str
    problem: str | None = None
    """Why its year cannot be computed; it is left for the next sweep. None: it is done."""


def apply_next(session: Session, *, actor: str, behind: int = 0) -> HandledOrder | None:
    """Add the year of the next paid order behind an id, and return the order; None: there is none.

    If the plan refuses the year, or the money went back, a notice says so once and an operator
    decides. An order whose year cannot be computed stays as it is. Posts.
    """
    order = session.scalars(
        select(Order)
        .where(
            Order.plan.is_not(None),
            Order.state == "paid",
            Order.plan_applied_at.is_(None),
            Order.id > behind,
        )
        .order_by(Order.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if order is None:
        return None
    held = plans.lock_plans(session, [order.account_id])
    owner = plans.load_owners(session, [order.account_id])[order.account_id]
    payment = session.get_one(Payment, order.payment_id)
    handled = HandledOrder(order.id, order.receipt)
    if payment.state == "refunded" or refunded_plans.is_fully_returned(session, payment):
        _close_without_year(session, order, owner, payment, MONEY_IS_BACK)
        return handled
    try:
        postings = plans.add_ordered_year(session, owner, order, payment, plans=held, actor=actor)
    except PlanRefused as refused:
        _close_without_year(session, order, owner, payment, refused.reason)
        return handled
    except CALENDAR_ERRORS as error:
        # The other orders must not wait for it.
        return HandledOrder(order.id, order.receipt, f"{type(error).__name__}: {error}")
    for result in post(session, postings):
        grants.granted_now(result)  # raises if it was refused
    return handled


def _close_without_year(
    session: Session, order: Order, owner: Owner, payment: Payment, reason: str
) -> None:
    """Mark an order as applied and write, once, why it brings no year."""
    now = clock.now()
    order.plan_applied_at = now
    topic, subject = Topic.PLAN_NOT_APPLIED.value, orders.subject_of(order)
    details = {"account": owner.ref, "reason": reason, "payment_id": payment.gateway_payment_id}
    audit.record(session, topic, subject, before=None, after=details)
    outbox.write(session, [NewNotice(topic, subject, owner.id, details)], now=now)
    session.flush()

"""Paid plan orders whose year was not added yet: found by the sweep, and added.

A payment adds its year in the transaction that counts it (`billing/payments/intake.py`). What is
found here was counted by a process of a version that knew no plans.
"""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
from billing import audit, plans
from billing.ledger import post
from billing.payments import orders
from billing.plans import UNRECKONABLE, Owner, PlanRefused, grants
from billing.plans import refunded_plans as plan_refunds
from db import outbox
from db.models import Order, Payment
from db.outbox import NewNotice

NOT_APPLIED = "plan.not_applied"
MONEY_IS_BACK = "payment_refunded"


@dataclass(frozen=True, slots=True)
class Found:
    """A paid order that was dealt with."""

    order_id: int
    receipt: str
    problem: str | None = None
    """Why it was left for another time; None: it was not."""


def apply_next(session: Session, *, actor: str, behind: int = 0) -> Found | None:
    """Add the year of the next paid order behind an id and return it; None: there is none.

    One that cannot be added (the account has the plan already), or whose money went back, is told
    of and left: what becomes of it is for an operator to say. One that nobody can reckon with is
    left as it is. Posts.
    """
    order = session.scalars(
        select(Order)
        .where(
            Order.plan.is_not(None), Order.state == "paid", Order.plan_applied_at.is_(None),
            Order.id > behind,
        )
        .order_by(Order.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()  # fmt: skip
    if order is None:
        return None
    held = plans.lock_plans(session, [order.account_id])
    owner = plans.owners(session, [order.account_id])[order.account_id]
    payment = session.get_one(Payment, order.payment_id)
    receipt = order.receipt
    if payment.state == "refunded" or plan_refunds.is_back(session, payment):
        _leave(session, order, owner, payment, MONEY_IS_BACK)
        return Found(order.id, receipt)
    try:
        postings = plans.pay_order(session, owner, order, payment, plans=held, actor=actor)
    except PlanRefused as refused:
        _leave(session, order, owner, payment, refused.reason)
        return Found(order.id, receipt)
    except UNRECKONABLE as error:
        # The others must not wait for it.
        return Found(order.id, receipt, f"{type(error).__name__}: {error}")
    found = Found(order.id, receipt)
    for result in post(session, postings):
        grants.granted_now(result)
    return found


def _leave(session: Session, order: Order, owner: Owner, payment: Payment, reason: str) -> None:
    """Tell why an order brings no year, once."""
    order.plan_applied_at = clock.now()
    told = {"account": owner.ref, "reason": reason, "payment_id": payment.gateway_payment_id}
    audit.record(session, NOT_APPLIED, orders.subject_of(order), before=None, after=told)
    notice = NewNotice(NOT_APPLIED, orders.subject_of(order), owner.id, told)
    outbox.write(session, [notice], now=clock.now())
    session.flush()

"""Paid plan orders whose year was not added yet: found by the sweep, and added.

A payment adds its year in the transaction that counts it (`billing/payments.py`). What is found
here was counted by a process of a version that knew no plans.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
from billing import audit, grants, orders, plan_rows, plans
from billing.errors import PlanRefused
from billing.ledger import post
from db import outbox
from db.models import Order, Payment
from db.outbox import NewNotice

NOT_APPLIED = "plan.not_applied"


def apply_next(session: Session, *, actor: str) -> str | None:
    """Add the year of one paid order, and return its receipt; None: there is none to add.

    One that cannot be added (the account has the plan already) is told of and left: its money is
    for an operator to give back. Posts.
    """
    order = session.scalars(
        select(Order)
        .where(Order.plan.is_not(None), Order.state == "paid", Order.plan_applied_at.is_(None))
        .order_by(Order.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if order is None:
        return None
    held = plan_rows.lock(session, [order.account_id])
    owner = plan_rows.owners(session, [order.account_id])[order.account_id]
    payment = session.get_one(Payment, order.payment_id)
    try:
        postings = plans.pay_order(session, owner, order, payment, plans=held, actor=actor)
    except PlanRefused as refused:
        order.plan_applied_at = clock.now()
        told = {"account": owner.ref, "reason": refused.reason,
                "payment_id": payment.gateway_payment_id}  # fmt: skip
        audit.record(session, NOT_APPLIED, orders.subject(order), before=None, after=told)
        notice = NewNotice(NOT_APPLIED, orders.subject(order), owner.id, told)
        outbox.write(session, [notice], now=clock.now())
        session.flush()
        return order.receipt
    for result in post(session, postings):
        grants.granted_now(result)
    return order.receipt

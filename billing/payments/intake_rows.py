"""The rows of one intake: locked before its decisions, written after them.

Called by `billing/payments/intake.py` alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from billing import audit, plans
from billing.payments import attention, inquiries, locks, orders
from billing.payments.change_log import NOTIFIED_STATES, audit_change, notice_of
from billing.payments.decision import Change
from billing.payments.facts import GatewayName, PaymentFacts
from billing.plans import Owner
from db import outbox
from db.models import AccountPlan, Order, Payment
from db.outbox import NewNotice
from service import request_ids


@dataclass(frozen=True, slots=True)
class IntakeRows:
    """The locked rows of one intake."""

    now: datetime
    payments: dict[tuple[str, str], Payment]
    """By gateway and its id."""
    before: dict[int, tuple[str, int] | None]
    """Payment id -> state and refunded paise when it was locked; None: the payment is new."""
    orders: dict[int, Order]
    orders_by_name: dict[tuple[str, str], Order]
    """By gateway and its id or our receipt."""
    owners: dict[int, Owner]
    """The accounts of the orders, by id."""
    plans: dict[int, AccountPlan]
    """Account id -> its plan, if one of the orders is for a plan."""

    def find_order(self, payment: Payment, fact: PaymentFacts) -> Order | None:
        """Return the order that a payment is recorded for, else the order that the fact names."""
        if payment.order_id in self.orders:
            return self.orders[payment.order_id]
        # The gateway's id before the receipt: a receipt may stand on a second order of the
        # gateway, opened because the answer to the first was lost.
        names = [(fact.gateway, name) for name in (fact.order_id, fact.receipt) if name]
        return next((self.orders_by_name[n] for n in names if n in self.orders_by_name), None)

    def find_account_ref(self, payment: Payment) -> str | None:
        """Return the reference of a payment's account, if it is the account of an order."""
        owner = self.owners.get(payment.account_id or 0)
        return owner.ref if owner is not None else None


def load(
    session: Session,
    facts: Sequence[PaymentFacts],
    *,
    also: Sequence[tuple[GatewayName, str]],
    now: datetime,
) -> IntakeRows:
    """Lock the orders and plans that the facts are about, then the payments of facts and `also`.

    Payments that are not on record are added.
    """
    found = locks.lock_orders(session, facts)
    of_plans = {order.account_id for order in found if order.plan is not None}
    locked_plans = plans.lock_plans(session, of_plans)
    # After the plans are locked: until then an account may get another time zone.
    owners = plans.load_owners(session, {order.account_id for order in found})
    every = [*facts, *(locks.bare_facts(*payment) for payment in also)]
    new_ids = locks.add_missing_payments(session, every, now=now)
    locked = locks.lock_payments(session, every)
    payments = {(p.gateway, p.gateway_payment_id): p for p in locked}
    about = {(fact.gateway, fact.payment_id) for fact in facts}
    return IntakeRows(
        now=now,
        payments={key: payment for key, payment in payments.items() if key in about},
        before={p.id: None if p.id in new_ids else _standing(p) for p in locked},
        orders={order.id: order for order in found},
        orders_by_name={
            (order.gateway, name): order
            for order in found
            for name in (order.receipt, order.gateway_order_id)
            if name is not None
        },
        owners=owners,
        plans=locked_plans,
    )


def apply(session: Session, change: Change, payment: Payment, order: Order | None) -> None:
    """Write what was decided about a payment and its order into their rows."""
    payment.state, payment.reason = change.state, change.reason
    payment.refunded_paise = change.refunded_paise
    for column, value in change.details.items():
        setattr(payment, column, value)
    if order is None:
        return
    if change.gateway_order_id is not None:
        order.gateway_order_id = change.gateway_order_id
    if change.pays_order:
        order.payment_id = payment.id
    for move in change.order_moves:
        orders.move(session, order, move.state, next_ask_at=move.next_ask_at)
    if change.ask_within is not None:
        inquiries.ask_within(order, change.ask_within)


def record_changes(session: Session, rows: IntakeRows, facts: Sequence[PaymentFacts]) -> None:
    """Write an audit entry, and a notice of most states, for each payment that has changed.

    Each has the id of the request that brought the last fact about the payment.
    """
    brought_by: dict[tuple[str, str], str | None] = {
        (fact.gateway, fact.payment_id): fact.request_id for fact in facts
    }
    changes: list[audit.Change] = []
    notices: list[NewNotice] = []
    for key, payment in rows.payments.items():
        before = rows.before[payment.id]
        if before == _standing(payment):
            continue
        payment.updated_at = rows.now
        with request_ids.bound(brought_by[key]):
            if payment.state in attention.STATES and (before is None or before[0] != payment.state):
                attention.report(session, payment)
            changes.append(audit_change(payment, before))
            if payment.state in NOTIFIED_STATES:
                notices.append(notice_of(payment, rows.find_account_ref(payment)))
    audit.record_all(session, changes)
    outbox.write(session, notices, now=rows.now)
    session.flush()


def _standing(payment: Payment) -> tuple[str, int]:
    return payment.state, payment.refunded_paise

"""Payments that need a person: which they are, the list of them, and the line in the log.

Captured money that no rule could place (`unmatched`, `quarantined`), and money that a bank holds
for an order that is not ours (`authorized` without an order): nobody captures that here, and the
gateway gives it back after some days.

Used by the intake and by refunds when a payment comes to such a state, and by the command line.
"""

from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.orm import Session

from db import after_commit
from db.models import Payment

STATES = ("quarantined", "unmatched")
"""States in which captured money waits for a person."""


def needs_a_person() -> ColumnElement[bool]:
    """Return the condition on `Payment`; the index `ix_billing_payments_attention` has the same."""
    return or_(
        Payment.state.in_(STATES), and_(Payment.state == "authorized", Payment.order_id.is_(None))
    )


def reason_of(payment: Payment) -> str | None:
    """Return why a payment needs a person; None if it does not."""
    if payment.state in STATES:
        return payment.reason
    if payment.state == "authorized" and payment.order_id is None:
        return "order_not_known" if payment.gateway_order_id or payment.receipt else "no_order"
    return None


def report(session: Session, payment: Payment) -> None:
    """Have an error line written for a payment that has come to one of `STATES`."""
    after_commit.log_error(
        session,
        "payment needs a person",
        payment=payment.gateway_payment_id,
        gateway=payment.gateway,
        state=payment.state,
        reason=payment.reason,
    )

"""Plans whose money was wholly returned: the account is flagged, and a person decides.

The plan itself stays as it is, because the year may have been paid another way meanwhile. Called by
`billing/payments/clawbacks.py` with each settlement of a refund or a chargeback, under the
payment's lock; locks the account.
"""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

import clock
from billing import audit
from billing.accounts import review
from billing.plans.paid_years import payment_key
from billing.plans.queries import find_term
from billing.topics import Topic
from db import outbox
from db.models import Account, Chargeback, Clawback, Payment, PlanTerm, Refund
from db.outbox import NewNotice


def update_review(session: Session, payment: Payment, source: Clawback, before: str) -> None:
    """Flag an account, or clear its flag, after a refund or chargeback of `payment` was settled.

    `before` is the `position` that `source` had until now. If it completes the return of a plan's
    money, the account is flagged and a notice written, once; if money stays after all, the flag
    goes.
    """
    if source.position == before or payment.account_id is None:
        return
    if "taken" not in {source.position, before}:
        return
    term = find_term(session, payment_key(payment))
    if term is None:  # it paid credit, or nothing
        return
    returned_paise = _returned_paise(session, payment)  # with `source`, or without it again
    if source.position == "taken":
        if returned_paise - source.amount_paise < payment.amount_paise <= returned_paise:
            _flag(session, payment, payment.account_id, term)
    elif returned_paise < payment.amount_paise:
        review.clear(session, payment.account_id, review.PLAN_REFUNDED)


def is_fully_returned(session: Session, payment: Payment) -> bool:
    """Return whether refunds and chargebacks have taken all of a payment."""
    return _returned_paise(session, payment) >= payment.amount_paise


def _returned_paise(session: Session, payment: Payment) -> int:
    """Return what refunds and chargebacks have taken of a payment."""
    session.flush()
    return sum(
        session.scalar(
            select(func.coalesce(func.sum(source.amount_paise), 0)).where(
                source.payment_id == payment.id, source.position == "taken"
            )
        )
        or 0
        for source in (Refund, Chargeback)
    )


def _flag(session: Session, payment: Payment, account_id: int, term: PlanTerm) -> None:
    ref = session.get_one(Account, account_id).ref
    subject, topic = f"account:{ref}", Topic.PLAN_REFUNDED
    year = {"year": term.number, "kind": term.kind}
    payload = {"account": ref, "payment_id": payment.gateway_payment_id, **year}
    audit.record(session, topic.value, subject, before=None, after=payload)
    outbox.write(session, [NewNotice(topic, subject, account_id, payload)], now=clock.now())
    review.flag(session, account_id, review.PLAN_REFUNDED, more=year)

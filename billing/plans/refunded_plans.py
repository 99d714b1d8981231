"""Plans whose money went wholly back: a person decides what becomes of them.

The plan itself stays as it is, since the year may have been paid another way meanwhile: the account
is flagged for review, and told of. Called by `billing/payments/clawbacks.py` with each settlement
of a refund or a chargeback, under the payment's lock; locks the account.
"""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

import clock
from billing import audit
from billing.accounts import review as account_review
from billing.plans import terms as plans
from db import outbox
from db.models import Account, Chargeback, Clawback, Payment, PlanTerm, Refund
from db.outbox import NewNotice

REFUNDED = "plan.refunded"
"""Topic of the outbox, and action of the audit log."""


def watch(session: Session, payment: Payment, claim: Clawback, before: str) -> None:
    """Look at a payment whose claim was settled, with the `position` that it had before.

    Where that completes the return of a plan's money it is told once; where money stays after
    all, the flag goes.
    """
    if claim.position == before or payment.account_id is None:
        return
    if "taken" not in {claim.position, before} or (term := _year(session, payment)) is None:
        return
    back = _back(session, payment)  # with this claim, or without it again
    if claim.position == "taken":
        if back - claim.amount_paise < payment.amount_paise <= back:
            _tell(session, payment, payment.account_id, term)
    elif back < payment.amount_paise:
        account_review.clear(session, payment.account_id, account_review.PLAN_REFUNDED)


def is_back(session: Session, payment: Payment) -> bool:
    """Tell whether refunds and chargebacks have taken all of a payment."""
    return _back(session, payment) >= payment.amount_paise


def _year(session: Session, payment: Payment) -> PlanTerm | None:
    """Return the year of a plan that a payment has paid; None: it paid credit, or nothing."""
    query = select(PlanTerm).where(PlanTerm.request_key == plans.key_of(payment))
    return session.scalars(query).one_or_none()


def _back(session: Session, payment: Payment) -> int:
    """Return the paise that refunds and chargebacks have taken of a payment."""
    session.flush()
    return sum(
        session.scalar(
            select(func.coalesce(func.sum(kind.amount_paise), 0)).where(
                kind.payment_id == payment.id, kind.position == "taken"
            )
        )
        or 0
        for kind in (Refund, Chargeback)
    )


def _tell(session: Session, payment: Payment, account_id: int, term: PlanTerm) -> None:
    account = session.get_one(Account, account_id).ref
    year = {"year": term.number, "kind": term.kind}
    told = {"account": account, "payment_id": payment.gateway_payment_id, **year}
    subject = f"account:{account}"
    audit.record(session, REFUNDED, subject, before=None, after=told)
    outbox.write(session, [NewNotice(REFUNDED, subject, account_id, told)], now=clock.now())
    account_review.flag(session, account_id, account_review.PLAN_REFUNDED, more=year)

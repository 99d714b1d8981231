"""Attachment: an operator gives unmatched or quarantined money to the account it belongs to.

The payment brings what its amount buys. Its credit has the key that it would have had by itself, so
that no payment is credited twice.

Called by `billing payments attach`.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
from billing import audit
from billing.errors import InvalidReason, UnknownAccount
from billing.leads import ReleasedLead
from billing.payments import pricing, queries
from billing.payments.change_log import notice_of, subject_of
from billing.payments.credit_posting import CreditedPayment, post_credit
from billing.payments.errors import CannotAttach, UnknownPayment
from billing.payments.facts import GatewayName
from billing.payments.pricing import CURRENCY
from billing.text import DESCRIPTION_MAX_LENGTH, problem_with
from db import outbox
from db.models import Account, Payment

ATTACHABLE_STATES = ("unmatched", "quarantined")


def attach(
    session: Session,
    payment_id: str,
    *,
    account: str,
    reason: str,
    actor: str,
    gateway: GatewayName | None = None,
) -> tuple[CreditedPayment, list[ReleasedLead]]:
    """Credit a payment (the gateway's id) to an account; return it and the leads it released.

    `gateway` is needed if two gateways have a payment with this id. What was refunded of the
    payment is taken back by its refunds (`billing/payments/clawbacks.py`). Raises
    `UnknownPayment`, `AmbiguousPayment`, `UnknownAccount`, `CannotAttach` or `InvalidReason`.
    Posts.
    """
    problem = problem_with(reason, max_length=DESCRIPTION_MAX_LENGTH)
    if problem:
        raise InvalidReason(problem)
    payment = _lock(session, payment_id, gateway)
    owner = session.scalars(select(Account).where(Account.ref == account)).one_or_none()
    if owner is None:
        raise UnknownAccount(account)
    bought = _credits_bought(payment, owner)
    before = {"state": payment.state, "reason": payment.reason}
    now = clock.now()
    payment.state = "partially_refunded" if payment.refunded_paise else "captured"
    payment.reason = None
    payment.account_id = owner.id
    payment.credits, payment.bonus_credits = bought
    payment.credited_at = payment.updated_at = now
    session.flush()
    credited, released = post_credit(session, [(payment, account)], actor=actor)
    audit.record(
        session,
        "payment.attached",
        subject_of(payment),
        before=before,
        after={
            "state": payment.state,
            "account": account,
            "credits": sum(bought),
            "reason": reason,
            "by": actor,
        },
    )
    outbox.write(session, [notice_of(payment, account)], now=now)
    return credited[0], released


def _lock(session: Session, payment_id: str, gateway: GatewayName | None) -> Payment:
    payment = queries.find(session, payment_id, gateway=gateway)
    if payment is None:
        raise UnknownPayment(payment_id)
    session.refresh(payment, with_for_update=True)
    if payment.state not in ATTACHABLE_STATES:
        raise CannotAttach(payment_id, f"is {payment.state}, not {' or '.join(ATTACHABLE_STATES)}")
    return payment


def _credits_bought(payment: Payment, account: Account) -> tuple[int, int]:
    """Return the credits and the bonus credits that the payment buys for the account."""
    payment_id = payment.gateway_payment_id
    if payment.currency != CURRENCY:
        raise CannotAttach(payment_id, f"is in {payment.currency}, not {CURRENCY}")
    bought = pricing.credits_for(account.product, payment.amount_paise)
    if bought is None:
        raise CannotAttach(
            payment_id,
            f"is not the price of a package of {account.product}: refund it at the gateway, or"
            " `billing credit` the account",
        )
    if not bought[0]:
        raise CannotAttach(payment_id, "is too small to buy one credit: refund it at the gateway")
    return bought

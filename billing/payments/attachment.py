"""Attachment: an operator gives unmatched or quarantined money to the account it belongs to.

The payment brings what its amount buys, the credits that the operator names, or a year of a plan.
Its credit has the key that it would have had by itself, and no other way gives credit for a payment
(`billing/credit/payment_keys.py`), so that none is credited twice.

Called by `billing payments attach`.
"""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
from billing import audit, catalog, plans
from billing.errors import InvalidReason, UnknownAccount
from billing.leads import ReleasedLead
from billing.ledger import Posting
from billing.money import MAX_CREDITS
from billing.payments import hand_credits, pricing, queries
from billing.payments.change_log import notice_of, subject_of
from billing.payments.credit_posting import CreditedPayment, Paid, post_credit
from billing.payments.errors import CannotAttach, UnknownPayment
from billing.payments.facts import GatewayName
from billing.payments.pricing import CURRENCY
from billing.text import DESCRIPTION_MAX_LENGTH, problem_with
from db import outbox
from db.models import Account, AccountPlan, Payment

ATTACHABLE_STATES = ("unmatched", "quarantined")


@dataclass(frozen=True, slots=True)
class Given:
    """What an operator gives for a payment; at most one of both. Neither: what its amount buys."""

    credits: int | None = None
    plan: str | None = None
    """A plan of the catalog, or its renewal: the payment brings a year of it."""


def attach(
    session: Session,
    payment_id: str,
    *,
    account: str,
    reason: str,
    actor: str,
    gateway: GatewayName | None = None,
    given: Given = Given(),
) -> tuple[CreditedPayment, list[ReleasedLead]]:
    """Credit a payment (the gateway's id) to an account; return it and the leads it released.

    `gateway` is needed if two gateways have a payment with this id. What was refunded of the
    payment is taken back by its refunds (`billing/payments/clawbacks.py`). Raises
    `UnknownPayment`, `AmbiguousPayment`, `UnknownAccount`, `CannotAttach`, `PlanRefused` or
    `InvalidReason`. Posts.
    """
    problem = problem_with(reason, max_length=DESCRIPTION_MAX_LENGTH)
    if problem:
        raise InvalidReason(problem)
    if queries.find(session, payment_id, gateway=gateway) is None:
        raise UnknownPayment(payment_id)
    owner = session.scalars(select(Account).where(Account.ref == account)).one_or_none()
    if owner is None:
        raise UnknownAccount(account)
    # Plans are locked before payments, as the intake does.
    locked_plans = plans.lock_plans(session, [owner.id] if given.plan is not None else [])
    payment = _lock(session, payment_id, gateway)
    bought, grants = _bought(session, payment, owner, given, locked_plans, actor=actor)
    before = {"state": payment.state, "reason": payment.reason}
    now = clock.now()
    payment.state = "partially_refunded" if payment.refunded_paise else "captured"
    payment.reason = None
    payment.account_id = owner.id
    payment.credits, payment.bonus_credits = bought
    payment.credited_at = payment.updated_at = now
    session.flush()
    credited, released = post_credit(session, [Paid(payment, account)], grants=grants, actor=actor)
    after = {
        "state": payment.state,
        "account": account,
        "credits": sum(bought),
        "reason": reason,
        "by": actor,
    }
    audit.record(
        session,
        "payment.attached",
        subject_of(payment),
        before=before,
        after=after if given.plan is None else after | {"plan": given.plan},
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
    by_hand = hand_credits.given_for(session, [payment]).get(payment.id)
    if by_hand:
        raise CannotAttach(
            payment_id,
            f"was credited by hand with {by_hand} credits, under the key"
            f" {hand_credits.key_of(payment)}: take them back first, by `billing adjust REF"
            f" -{by_hand} --key {hand_credits.returned_key_of(payment)}`",
        )
    return payment


def _bought(
    session: Session,
    payment: Payment,
    account: Account,
    given: Given,
    locked_plans: dict[int, AccountPlan],
    *,
    actor: str,
) -> tuple[tuple[int, int], list[Posting]]:
    """Return the credits and the bonus credits that are given, and the grants of a plan's year."""
    payment_id = payment.gateway_payment_id
    if given.credits is not None and given.plan is not None:
        raise CannotAttach(payment_id, "brings credits or a plan, not both")
    if given.plan is not None:
        sold = catalog.get().plans.get(given.plan)
        if sold is None or sold.product != account.product:
            raise CannotAttach(
                payment_id, f"cannot buy {given.plan!r}: {account.product} has no such plan"
            )
        owner = plans.load_owners(session, [account.id])[account.id]
        grants = plans.add_attached_year(
            session, owner, payment, plan=given.plan, plans=locked_plans, actor=actor
        )
        return (0, 0), grants
    if given.credits is not None:
        if not 0 < given.credits <= MAX_CREDITS:
            raise CannotAttach(payment_id, f"must bring from 1 to {MAX_CREDITS} credits")
        return (given.credits, 0), []
    return _credits_bought(payment, account), []


def _credits_bought(payment: Payment, account: Account) -> tuple[int, int]:
    """Return the credits and the bonus credits that the payment buys for the account."""
    payment_id = payment.gateway_payment_id
    if payment.currency != CURRENCY:
        raise CannotAttach(
            payment_id,
            f"is in {payment.currency}, not {CURRENCY}: refund it at the gateway, or say with"
            " --credits what it is worth",
        )
    bought = pricing.credits_for(account.product, payment.amount_paise)
    if bought is None:
        raise CannotAttach(
            payment_id,
            f"is not the price of a package of {account.product}: refund it at the gateway, or say"
            " with --credits or --plan what it brings",
        )
    if not bought[0]:
        raise CannotAttach(payment_id, "is too small to buy one credit: refund it at the gateway")
    return bought

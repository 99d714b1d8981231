"""The facts of the mails to customers, and whether what they report is still so.

A mail about a state says what is so now. Called by `mail_loading.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from billing import catalog
from billing.calendar import local_day_of
from billing.ledger import alert_levels
from billing.ledger.alert_levels import Level
from billing.notices import mail_links, renewal_offers
from billing.notices.mail_facts import (
    MOST_LISTED,
    BalanceFacts,
    DisputeDecidedFacts,
    Facts,
    MailKind,
    ParkedLead,
    ParkedLeadsFacts,
    RefundFacts,
    RenewalFacts,
    TopUpFacts,
)
from billing.notices.no_longer_due import NoLongerDue
from db.models import (
    Account,
    LeadCharge,
    LeadDispute,
    NoticeMail,
    Order,
    OutboxEvent,
    Payment,
    PlanTerm,
    Refund,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the facts of an account's mail are read for."""

    session: Session
    kind: MailKind
    mail: NoticeMail
    account: Account
    notice: OutboxEvent
    now: datetime

    @property
    def top_up_url(self) -> str | None:
        return renewal_offers.billing_url_of(self.account.product)


def load(asked: Asked) -> Facts:
    """Return the facts of a mail to an account's contact; raises `NoLongerDue`."""
    return _OF_ACCOUNTS[asked.kind](asked)


def _balance(asked: Asked) -> Facts:
    account = asked.account
    low = alert_levels.low_balance_of(account.low_balance)
    level = alert_levels.level_of(account.balance, low)
    if level not in _LEVELS[asked.kind]:
        raise NoLongerDue(f"the balance is {level} by now")
    if level is Level.IN_DEBT and asked.kind is MailKind.BALANCE_EXHAUSTED and _debt_is_said(asked):
        raise NoLongerDue("the mail about the debt says more")
    return BalanceFacts(
        balance=account.balance,
        low_balance=low,
        parked_leads=_parked(asked)[0],
        top_up_url=asked.top_up_url,
    )


_LEVELS: Mapping[MailKind, tuple[Level, ...]] = {
    MailKind.BALANCE_LOW: (Level.LOW,),
    # A fall from credit straight into debt is reported as exhausted.
    MailKind.BALANCE_EXHAUSTED: (Level.EXHAUSTED, Level.IN_DEBT),
    MailKind.BALANCE_IN_DEBT: (Level.IN_DEBT,),
}


def _debt_is_said(asked: Asked) -> bool:
    """Tell whether the contact gets, or got, a mail about a debt of the same day."""
    mail = asked.mail
    same_day = select(NoticeMail.id).where(
        NoticeMail.contact_id == mail.contact_id,
        NoticeMail.kind == MailKind.BALANCE_IN_DEBT.value,
        NoticeMail.once_for == mail.once_for,
        NoticeMail.state != "skipped",
    )
    return asked.session.scalar(same_day) is not None


def _parked(asked: Asked) -> tuple[int, int]:
    """Return how many leads of an account are parked, and what they cost together."""
    query = select(func.count(), func.coalesce(func.sum(LeadCharge.credits), 0)).where(
        LeadCharge.account_id == asked.account.id, LeadCharge.state == "parked"
    )
    count, total = asked.session.execute(query).one()
    return int(count), int(total)


def _parked_leads(asked: Asked) -> Facts:
    count, total = _parked(asked)
    if not count:
        raise NoLongerDue("no lead is parked any more")
    first = asked.session.execute(
        select(LeadCharge.lead_id, LeadCharge.credits, LeadCharge.created_at)
        .where(LeadCharge.account_id == asked.account.id, LeadCharge.state == "parked")
        .order_by(LeadCharge.parked_number)
        .limit(MOST_LISTED)
    )
    return ParkedLeadsFacts(
        leads=tuple(ParkedLead(lead_id=i, credits=c, parked_at=at) for i, c, at in first),
        count=count,
        credits=total,
        balance=asked.account.balance,
        top_up_url=asked.top_up_url,
    )


def _top_up(asked: Asked) -> Facts:
    payload, account = asked.notice.payload, asked.account
    payment = asked.session.scalars(
        select(Payment).where(
            Payment.gateway == payload["gateway"],
            Payment.gateway_payment_id == payload["payment_id"],
        )
    ).one()
    key = f"{payment.gateway}:{payment.gateway_payment_id}:plan"
    term = asked.session.scalars(select(PlanTerm).where(PlanTerm.request_key == key)).one_or_none()
    order = asked.session.get(Order, payment.order_id) if payment.order_id else None
    is_plan = term is not None or (order is not None and order.plan is not None)
    return TopUpFacts(
        payment_id=payment.gateway_payment_id,
        gateway=payment.gateway,
        amount_paise=payment.amount_paise,
        currency=payment.currency,
        credits=payment.credits,
        bonus_credits=payment.bonus_credits,
        plan=renewal_offers.product_name(account.product) if is_plan else None,
        paid_until=term.ends_on if term else None,
        paid_at=payment.credited_at or asked.notice.created_at,
        balance=account.balance,
    )


def _refund(asked: Asked) -> Facts:
    refund = asked.session.get_one(Refund, asked.notice.payload["refund_id"])
    payment = asked.session.get_one(Payment, refund.payment_id)
    return RefundFacts(
        refund_id=refund.id,
        payment_id=payment.gateway_payment_id,
        gateway=refund.gateway,
        amount_paise=refund.amount_paise,
        currency=payment.currency,
        credits=refund.credits + refund.bonus_credits,
        at=asked.notice.created_at,
    )


def _dispute(asked: Asked) -> Facts:
    dispute = asked.session.get_one(LeadDispute, asked.notice.payload["dispute_id"])
    if dispute.state == "withdrawn":
        raise NoLongerDue("the dispute was withdrawn, not decided")
    return DisputeDecidedFacts(
        dispute_id=dispute.id,
        lead_id=dispute.lead_id,
        type=dispute.type,
        accepted=dispute.credits_refunded > 0,
        credits_refunded=dispute.credits_refunded,
        decided_at=dispute.resolved_at or asked.notice.created_at,
        balance=asked.account.balance,
    )


def _renewal(asked: Asked) -> Facts:
    offer = renewal_offers.find_offer(asked.session, asked.account.id)
    payload = asked.notice.payload
    if offer is None or offer.due_on.isoformat() != payload["due_on"]:
        raise NoLongerDue("the plan was renewed")
    days = (local_day_of(asked.now, offer.zone) - offer.due_on).days
    if asked.kind is MailKind.PLAN_DEGRADED:
        if offer.status != "degraded":
            raise NoLongerDue(f"the plan is {offer.status} by now")
    elif any(payload["days"] < day <= days for day in catalog.get().renewal.reminder_days):
        raise NoLongerDue("a newer reminder replaces it")
    return RenewalFacts(
        plan=offer.plan,
        status=offer.status.value,
        days=days,
        due_on=offer.due_on,
        grace_ends_on=offer.grace_ends_on,
        price_paise=offer.price_paise,
        pay_url=mail_links.pay_url(asked.account.id, due_on=offer.due_on),
        pay_url_expires_at=mail_links.pay_url_expires_at(asked.now),
    )


_OF_ACCOUNTS: Mapping[MailKind, Callable[[Asked], Facts]] = {
    MailKind.BALANCE_LOW: _balance,
    MailKind.BALANCE_EXHAUSTED: _balance,
    MailKind.BALANCE_IN_DEBT: _balance,
    MailKind.LEADS_PARKED: _parked_leads,
    MailKind.TOP_UP: _top_up,
    MailKind.REFUND: _refund,
    MailKind.DISPUTE_DECIDED: _dispute,
    MailKind.RENEWAL_REMINDER: _renewal,
    MailKind.PLAN_DEGRADED: _renewal,
}

"""The facts of the mails to operators: what a person of ours has to look at, if it still waits."""

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from billing import payments
from billing.notices.mail_facts import (
    Facts,
    MailKind,
    OperatorChargebackFacts,
    OperatorEndpointFacts,
    OperatorPaymentFacts,
)
from billing.notices.no_longer_due import NoLongerDue
from db.models import Chargeback, NoticeDelivery, NoticeEndpoint, OutboxEvent, Payment


def load(session: Session, kind: MailKind, notice: OutboxEvent) -> Facts:
    """Return the facts of a mail about a notice; raises `NoLongerDue`."""
    return _OF_OPERATORS[kind](session, notice)


def _chargeback(session: Session, notice: OutboxEvent) -> Facts:
    chargeback = session.get_one(Chargeback, int(notice.subject.rpartition(":")[2]))
    payment = session.get_one(Payment, chargeback.payment_id)
    if chargeback.state in ("won", "lost", "closed"):
        raise NoLongerDue(f"the chargeback is {chargeback.state} by now")
    return OperatorChargebackFacts(
        payment_id=payment.gateway_payment_id,
        gateway=chargeback.gateway,
        gateway_dispute_id=chargeback.gateway_dispute_id,
        state=chargeback.state,
        amount_paise=chargeback.amount_paise,
        currency=payment.currency,
        respond_by=chargeback.respond_by,
    )


def _endpoint(session: Session, notice: OutboxEvent) -> Facts:
    endpoint = session.get_one(NoticeEndpoint, notice.payload["endpoint_id"])
    state = notice.topic.rpartition(".")[2]
    if endpoint.state != state:
        raise NoLongerDue(f"the endpoint is {endpoint.state} by now")
    waiting = select(func.count()).where(
        NoticeDelivery.endpoint_id == endpoint.id, NoticeDelivery.state.in_(["pending", "skipped"])
    )
    return OperatorEndpointFacts(
        endpoint_id=endpoint.id,
        host=urlsplit(endpoint.url).hostname or "",
        product=endpoint.product,
        state="failing" if state == "failing" else "off",
        reason=endpoint.state_reason,
        since=endpoint.first_failure_at,
        waiting=session.scalar(waiting) or 0,
    )


def _payment(session: Session, notice: OutboxEvent) -> Facts:
    payment = session.scalars(
        select(Payment).where(
            Payment.gateway == notice.payload["gateway"],
            Payment.gateway_payment_id == notice.payload["payment_id"],
        )
    ).one()
    if payment.state not in payments.attention.STATES:
        raise NoLongerDue(f"the payment is {payment.state} by now")
    return OperatorPaymentFacts(
        payment_id=payment.gateway_payment_id,
        gateway=payment.gateway,
        state="quarantined" if payment.state == "quarantined" else "unmatched",
        reason=payment.reason or "",
        amount_paise=payment.amount_paise,
        currency=payment.currency,
    )


_OF_OPERATORS: Mapping[MailKind, Callable[[Session, OutboxEvent], Facts]] = {
    MailKind.OPERATOR_CHARGEBACK: _chargeback,
    MailKind.OPERATOR_ENDPOINT: _endpoint,
    MailKind.OPERATOR_PAYMENT: _payment,
}

"""Reading payments: those of an account, the newest of all, and one with what belongs to it.

Asked by the API and by the command. `billing/payments/intake.py` is who writes them.
"""

from collections.abc import Sequence
from typing import Literal, get_args

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from billing.payments.facts import GatewayName
from db.models import Account, AuditEntry, CreditTransaction, Order, Payment
from errors import PermanentError

State = Literal[
    "created", "authorized", "captured", "failed", "refunded", "partially_refunded",
    "quarantined", "unmatched",
]  # fmt: skip

GATEWAYS: tuple[GatewayName, ...] = get_args(GatewayName)
STATES: tuple[State, ...] = get_args(State)


class AmbiguousPayment(PermanentError):
    """Several gateways have a payment of this id."""

    def __init__(self, payment_id: str, gateways: Sequence[str]) -> None:
        super().__init__(
            f"payments {payment_id!r} are known of {' and '.join(gateways)}: say which gateway"
        )
        self.payment_id = payment_id
        self.gateways = tuple(gateways)


def of_account(
    session: Session,
    account_id: int,
    *,
    state: State | None = None,
    before_id: int | None = None,
    limit: int,
) -> Sequence[Payment]:
    """Return a page of an account's payments, newest first; the next starts before the last id."""
    query = select(Payment).where(Payment.account_id == account_id)
    if state is not None:
        query = query.where(Payment.state == state)
    if before_id is not None:
        query = query.where(Payment.id < before_id)
    return session.scalars(query.order_by(Payment.id.desc()).limit(limit)).all()


def newest(
    session: Session,
    *,
    state: State | None = None,
    account_id: int | None = None,
    gateway: GatewayName | None = None,
    limit: int,
) -> Sequence[Row[Payment, str | None]]:
    """Return the newest payments with the reference of their account, None where it is not known.

    What is None limits nothing.
    """
    query = select(Payment, Account.ref).outerjoin(Account, Account.id == Payment.account_id)
    wanted = {
        Payment.state: state,
        Payment.account_id: account_id,
        Payment.gateway: gateway,
    }
    for column, value in wanted.items():
        if value is not None:
            query = query.where(column == value)
    return session.execute(query.order_by(Payment.id.desc()).limit(limit)).all()


def find(
    session: Session, payment_id: str, *, gateway: GatewayName | None = None
) -> Payment | None:
    """Return the payment of a gateway's id, or None; raises `AmbiguousPayment`."""
    found = session.scalars(
        select(Payment)
        .where(
            # The gateways by name, known or not, so that their unique index is used.
            Payment.gateway.in_([gateway] if gateway is not None else GATEWAYS),
            Payment.gateway_payment_id == payment_id,
        )
        .order_by(Payment.gateway)
    ).all()
    if len(found) > 1:
        raise AmbiguousPayment(payment_id, [payment.gateway for payment in found])
    return found[0] if found else None


def order_of(session: Session, payment: Payment) -> Order | None:
    """Return our order that the payment is for, or None."""
    return session.get(Order, payment.order_id) if payment.order_id is not None else None


def account_of(session: Session, payment: Payment) -> str | None:
    """Return the reference of the account that the payment is of, or None."""
    return session.scalar(select(Account.ref).where(Account.id == payment.account_id))


def transactions_of(session: Session, payment: Payment) -> Sequence[CreditTransaction]:
    """Return the ledger rows that name the payment, oldest first."""
    return session.scalars(
        select(CreditTransaction)
        .where(
            CreditTransaction.account_id == payment.account_id,
            CreditTransaction.payment_id == payment.gateway_payment_id,
        )
        .order_by(CreditTransaction.version)
    ).all()


def audit_log_of(session: Session, payment: Payment) -> Sequence[AuditEntry]:
    """Return what was changed of the payment that is no ledger row, oldest first."""
    return session.scalars(
        select(AuditEntry)
        .where(AuditEntry.subject == subject(payment.gateway, payment.gateway_payment_id))
        .order_by(AuditEntry.id)
    ).all()


def subject(gateway: str, payment_id: str) -> str:
    """Return the name of a payment in the audit log."""
    return f"payment:{gateway}:{payment_id}"

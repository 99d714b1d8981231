"""Reading payments: those of an account, the newest of all, and one with what belongs to it.

Called by the API, the command line and the tasks. Nothing is locked or written here.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from billing import accounts
from billing.payments import attention
from billing.payments.change_log import subject_of
from billing.payments.errors import AmbiguousPayment
from billing.payments.facts import GatewayName
from db.models import Account, AuditEntry, CreditTransaction, Order, Payment
from db.pages import Page, Wanted, read_page

State = Literal[
    "created", "authorized", "captured", "failed", "refunded", "partially_refunded",
    "quarantined", "unmatched",
]  # fmt: skip

GATEWAYS: tuple[GatewayName, ...] = get_args(GatewayName)
STATES: tuple[State, ...] = get_args(State)


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
    wanted: Wanted,
    *,
    state: State | None = None,
    account_id: int | None = None,
    gateway: GatewayName | None = None,
    needs_a_person: bool = False,
) -> Page[tuple[Payment, str | None]]:
    """Return the newest payments, each with the reference of its account (None: not known).

    A filter that is None does not limit the list. `needs_a_person`: only what waits for one
    (`billing/payments/attention.py`).
    """
    query = select(Payment, Account.ref).outerjoin(Account, Account.id == Payment.account_id)
    filters = {
        Payment.state: state,
        Payment.account_id: account_id,
        Payment.gateway: gateway,
    }
    for column, value in filters.items():
        if value is not None:
            query = query.where(column == value)
    if needs_a_person:
        query = query.where(attention.needs_a_person())
    return read_page(session, query, wanted, by=[Payment.id], time=Payment.created_at)


def find_account_by_payment_id(session: Session, payment_id: str) -> str | None:
    """Return the reference of the account of a payment (the gateway's id).

    None: the payment, or its account, is not known; or two gateways have the id.
    """
    found = session.scalars(
        select(Account.ref)
        .join(Payment, Payment.account_id == Account.id)
        .where(Payment.gateway.in_(GATEWAYS), Payment.gateway_payment_id == payment_id)
        .limit(2)
    ).all()
    return found[0] if len(found) == 1 else None


def find(
    session: Session, payment_id: str, *, gateway: GatewayName | None = None
) -> Payment | None:
    """Return the payment with this id of a gateway, or None; raises `AmbiguousPayment`."""
    found = session.scalars(
        select(Payment)
        .where(
            # The gateways by name even if none is given, so that their unique index is used.
            Payment.gateway.in_([gateway] if gateway is not None else GATEWAYS),
            Payment.gateway_payment_id == payment_id,
        )
        .order_by(Payment.gateway)
    ).all()
    if len(found) > 1:
        raise AmbiguousPayment(payment_id, [payment.gateway for payment in found])
    return found[0] if found else None


def find_in_reach(
    session: Session,
    payment_id: str,
    *,
    product: str | None,
    account_id: int | None,
    gateway: GatewayName | None = None,
) -> tuple[Payment, str | None] | None:
    """Return the payment with this id of a gateway and the reference of its account; or None.

    In reach are the payments of the accounts of `product`, of the account `account_id`, or all of
    them: then also those whose account is not known. Raises `AmbiguousPayment` if two gateways
    have a payment in reach with this id and none is named.
    """
    query = (
        select(Payment, Account.ref)
        .outerjoin(Account, Account.id == Payment.account_id)
        .where(
            Payment.gateway.in_([gateway] if gateway is not None else GATEWAYS),
            Payment.gateway_payment_id == payment_id,
        )
        .where(accounts.in_reach(product, account_id))  # NULL, so no row, without an account
        .order_by(Payment.gateway)
    )
    found = session.execute(query).all()
    if len(found) > 1:
        raise AmbiguousPayment(payment_id, [payment.gateway for payment, _ in found])
    return (found[0][0], found[0][1]) if found else None


def find_of_order(session: Session, order_id: int, payment_id: str | None) -> Payment | None:
    """Return the payment of an order with this id of the gateway, or None.

    Without an id: the payment that was credited, else the newest.
    """
    query = select(Payment).where(Payment.order_id == order_id)
    if payment_id is not None:
        query = query.where(Payment.gateway_payment_id == payment_id)
    query = query.order_by(Payment.credited_at.nulls_last(), Payment.id.desc())
    return session.scalars(query.limit(1)).one_or_none()


def find_order_of(session: Session, payment: Payment) -> Order | None:
    """Return our order that the payment is for, or None."""
    return session.get(Order, payment.order_id) if payment.order_id is not None else None


def find_account_ref(session: Session, payment: Payment) -> str | None:
    """Return the reference of the payment's account, or None."""
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


def audit_entries_of(session: Session, payment: Payment) -> Sequence[AuditEntry]:
    """Return the audit entries of the payment, oldest first."""
    return session.scalars(
        select(AuditEntry).where(AuditEntry.subject == subject_of(payment)).order_by(AuditEntry.id)
    ).all()


def recorded_ids(session: Session, gateway: GatewayName, payment_ids: Iterable[str]) -> set[str]:
    """Return those of the gateway's ids that are on record."""
    found = session.scalars(
        select(Payment.gateway_payment_id).where(
            Payment.gateway == gateway, Payment.gateway_payment_id.in_(set(payment_ids))
        )
    )
    return set(found)

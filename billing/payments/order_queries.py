"""Reading orders: the newest of all, and one with its payments and its entries in the audit log.

Called by the API and the command line. Nothing is locked or written here.
"""

from collections.abc import Sequence
from typing import Literal, get_args

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from billing import accounts
from billing.payments.facts import GatewayName
from billing.payments.orders import subject_of
from billing.payments.queries import GATEWAYS
from db.models import Account, AuditEntry, Order, Payment
from db.pages import Page, Wanted, read_page

State = Literal["requested", "unknown", "open", "paid", "refused", "expired"]
STATES: tuple[State, ...] = get_args(State)


def newest(
    session: Session,
    wanted: Wanted,
    *,
    state: State | None = None,
    account_id: int | None = None,
    gateway: GatewayName | None = None,
    unsettled: bool = False,
) -> Page[tuple[Order, str]]:
    """Return the newest orders, each with the reference of its account.

    A filter that is None does not limit the list. `unsettled`: only those about which the gateway
    is still asked, and whose last inquiry failed.
    """
    query = select(Order, Account.ref).join(Account, Account.id == Order.account_id)
    filters = {Order.state: state, Order.account_id: account_id, Order.gateway: gateway}
    for column, value in filters.items():
        if value is not None:
            query = query.where(column == value)
    if unsettled:
        query = query.where(Order.next_ask_at.is_not(None), Order.last_error.is_not(None))
    return read_page(session, query, wanted, by=[Order.id], time=Order.created_at)


def find(session: Session, name: str) -> tuple[Order, str] | None:
    """Return an order by the gateway's id or our receipt, with its account's reference; or None.

    If two gateways have the id, the newest.
    """
    ours = Order.receipt == name
    theirs = Order.gateway.in_(GATEWAYS) & (Order.gateway_order_id == name)
    query = select(Order, Account.ref).join(Account, Account.id == Order.account_id)
    row = session.execute(
        query.where(or_(ours, theirs)).order_by(Order.id.desc()).limit(1)
    ).one_or_none()
    return (row[0], row[1]) if row is not None else None


def find_in_reach(
    session: Session, gateway_order_id: str, *, product: str | None, account_id: int | None
) -> tuple[Order, str] | None:
    """Return an order by the gateway's id, with its account's reference; or None.

    None too if its account is out of reach (`accounts.in_reach`). If two gateways have the id, the
    newest in reach.
    """
    query = select(Order, Account.ref).join(Account, Account.id == Order.account_id)
    query = query.where(
        # The gateways by name, so that their unique index is used.
        Order.gateway.in_(GATEWAYS),
        Order.gateway_order_id == gateway_order_id,
        accounts.in_reach(product, account_id),
    )
    row = session.execute(query.order_by(Order.id.desc()).limit(1)).one_or_none()
    return (row[0], row[1]) if row is not None else None


def find_payment_id(session: Session, order: Order) -> str | None:
    """Return the gateway's id of the payment that paid the order, or None."""
    return session.scalar(select(Payment.gateway_payment_id).where(Payment.id == order.payment_id))


def payments_of(session: Session, order: Order) -> Sequence[Payment]:
    """Return the payments for an order, oldest first."""
    return session.scalars(
        select(Payment).where(Payment.order_id == order.id).order_by(Payment.id)
    ).all()


def audit_entries_of(session: Session, order: Order) -> Sequence[AuditEntry]:
    """Return the audit entries of an order, oldest first."""
    return session.scalars(
        select(AuditEntry).where(AuditEntry.subject == subject_of(order)).order_by(AuditEntry.id)
    ).all()

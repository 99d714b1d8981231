"""Reading disputes: one, a page of an account's, the newest of all. For the API and the command."""

from collections.abc import Sequence
from typing import get_args

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from billing import accounts
from billing.disputes.decisions import DisputeState
from db.models import Account, LeadDispute
from db.pages import Page, Wanted, read_page

STATES: tuple[DisputeState, ...] = get_args(DisputeState)


def find(
    session: Session,
    dispute_id: int,
    *,
    product: str | None = None,
    account_id: int | None = None,
) -> Row[LeadDispute, str] | None:
    """Return a dispute and its account's reference; None if it is unknown or out of reach.

    In reach are the accounts of `product`, the account of `account_id`, or all of them.
    """
    return session.execute(
        select(LeadDispute, Account.ref)
        .join(Account, Account.id == LeadDispute.account_id)
        .where(LeadDispute.id == dispute_id, accounts.in_reach(product, account_id))
    ).one_or_none()


def of_account(
    session: Session,
    account_id: int,
    *,
    state: DisputeState | None = None,
    before_id: int | None = None,
    limit: int,
) -> Sequence[LeadDispute]:
    """Return a page of an account's disputes, newest first; the next page is before its last id."""
    query = select(LeadDispute).where(LeadDispute.account_id == account_id)
    if state is not None:
        query = query.where(LeadDispute.state == state)
    if before_id is not None:
        query = query.where(LeadDispute.id < before_id)
    return session.scalars(query.order_by(LeadDispute.id.desc()).limit(limit)).all()


def newest(
    session: Session,
    wanted: Wanted,
    *,
    state: DisputeState | None = None,
    account_id: int | None = None,
) -> Page[tuple[LeadDispute, str]]:
    """Return the newest disputes, each with its account's reference; None does not filter."""
    query = select(LeadDispute, Account.ref).join(Account, Account.id == LeadDispute.account_id)
    if state is not None:
        query = query.where(LeadDispute.state == state)
    if account_id is not None:
        query = query.where(LeadDispute.account_id == account_id)
    return read_page(session, query, wanted, by=[LeadDispute.id], time=LeadDispute.created_at)

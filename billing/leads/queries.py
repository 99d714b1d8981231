"""Reading leads: one, the newest, an account's, the newest conflicts.

Asked by the API, the commands and the demo.
"""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, func, literal, select, tuple_
from sqlalchemy.orm import Session

from billing import accounts
from billing.leads.status import LeadStatus
from db.models import Account, LeadCharge, LeadConflict
from db.pages import InvalidPosition, Page, Wanted, read_page

RecordedState = Literal["charged", "parked", "refunded", "cancelled"]
"""The states of a lead on record; others are of requests that left none."""


def find_lead(session: Session, lead_id: str) -> LeadCharge | None:
    """Return the row of a lead; None if no lead of this id was charged or parked."""
    return session.get(LeadCharge, lead_id)


def newest_leads(
    session: Session, wanted: Wanted, *, state: str | None = None, account_id: int | None = None
) -> Page[tuple[LeadCharge, str]]:
    """Return the newest leads, each with its account's reference; None does not filter."""
    query = select(LeadCharge, Account.ref).join(Account, Account.id == LeadCharge.account_id)
    if state is not None:
        query = query.where(LeadCharge.state == state)
    if account_id is not None:
        query = query.where(LeadCharge.account_id == account_id)
    return read_page(
        session,
        query,
        wanted,
        by=[LeadCharge.created_at, LeadCharge.lead_id],
        time=LeadCharge.created_at,
    )


def leads_of_account(
    session: Session,
    account: Account,
    *,
    product: str | None,
    account_id: int | None,
    state: RecordedState | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    after: str | None = None,
    limit: int,
) -> list[LeadStatus]:
    """Return the leads on record of an account, the last recorded first, each with its status.

    `product` and `account_id`: the caller's reach, whose conflicts are counted. `since` (or later)
    and `until` (before) mean when a lead was first charged or parked. `after`: the id of the lead
    behind which the page begins; raises `InvalidPosition` if it is none of the account's.
    """
    number = (
        select(func.count())
        .select_from(LeadConflict)
        .join(Account, Account.id == LeadConflict.account_id)
        .where(LeadConflict.lead_id == LeadCharge.lead_id)
        .where(accounts.in_reach(product, account_id))
        .correlate(LeadCharge)
        .scalar_subquery()
    )
    query = select(LeadCharge, number).where(LeadCharge.account_id == account.id)
    if state is not None:
        query = query.where(LeadCharge.state == state)
    if since is not None:
        query = query.where(LeadCharge.created_at >= since)
    if until is not None:
        query = query.where(LeadCharge.created_at < until)
    if after is not None:
        here = tuple_(LeadCharge.created_at, LeadCharge.lead_id)
        query = query.where(here < tuple_(*_position(session, account, after)))
    order = (LeadCharge.created_at.desc(), LeadCharge.lead_id.desc())
    found = session.execute(query.order_by(*order).limit(limit))
    return [
        LeadStatus(
            lead.lead_id, account.ref, lead.state, lead.credits, lead.package_price_paise,
            conflicts, lead.occurred_at, lead.updated_at, created_at=lead.created_at,
        )
        for lead, conflicts in found
    ]  # fmt: skip


def _position(session: Session, account: Account, lead_id: str) -> tuple[ColumnElement[Any], ...]:
    lead = session.get(LeadCharge, lead_id)
    if lead is None or lead.account_id != account.id:
        raise InvalidPosition("after", "must be the `next` of an earlier page")
    return (
        literal(lead.created_at, LeadCharge.created_at.type),
        literal(lead.lead_id, LeadCharge.lead_id.type),
    )


def newest_conflicts(
    session: Session, wanted: Wanted, *, account_id: int | None = None
) -> Page[tuple[LeadConflict, str]]:
    """Return the newest requests that did not match the record, each with its account."""
    query = select(LeadConflict, Account.ref).join(Account, Account.id == LeadConflict.account_id)
    if account_id is not None:
        query = query.where(LeadConflict.account_id == account_id)
    return read_page(session, query, wanted, by=[LeadConflict.id], time=LeadConflict.created_at)

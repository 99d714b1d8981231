"""Reading leads: one, the newest, the newest conflicts. Asked by the commands and the demo."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Account, LeadCharge, LeadConflict
from db.pages import Page, Wanted, read_page


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


def newest_conflicts(
    session: Session, wanted: Wanted, *, account_id: int | None = None
) -> Page[tuple[LeadConflict, str]]:
    """Return the newest requests that did not match the record, each with its account."""
    query = select(LeadConflict, Account.ref).join(Account, Account.id == LeadConflict.account_id)
    if account_id is not None:
        query = query.where(LeadConflict.account_id == account_id)
    return read_page(session, query, wanted, by=[LeadConflict.id], time=LeadConflict.created_at)

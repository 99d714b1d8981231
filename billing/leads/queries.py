"""Reading leads: one, the newest, the newest conflicts. Asked by the commands and the demo."""

from collections.abc import Sequence

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from db.models import Account, LeadCharge, LeadConflict


def find_lead(session: Session, lead_id: str) -> LeadCharge | None:
    """Return the row of a lead; None if no lead of this id was charged or parked."""
    return session.get(LeadCharge, lead_id)


def newest_leads(
    session: Session, *, state: str | None, limit: int
) -> Sequence[Row[LeadCharge, str]]:
    """Return the newest leads, each with its account's reference; `state` None: of all states."""
    query = (
        select(LeadCharge, Account.ref)
        .join(Account, Account.id == LeadCharge.account_id)
        .order_by(LeadCharge.created_at.desc(), LeadCharge.lead_id)
        .limit(limit)
    )
    if state is not None:
        query = query.where(LeadCharge.state == state)
    return session.execute(query).all()


def newest_conflicts(session: Session, *, limit: int) -> Sequence[Row[LeadConflict, str]]:
    """Return the newest requests that did not match the record, each with its account."""
    query = (
        select(LeadConflict, Account.ref)
        .join(Account, Account.id == LeadConflict.account_id)
        .order_by(LeadConflict.id.desc())
        .limit(limit)
    )
    return session.execute(query).all()

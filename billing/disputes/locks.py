"""The locks that openings and resolutions of disputes take.

Always in this order: the account, the lead's row, the dispute's row, the quality scores. An opening
takes the lead's row alone and never waits for an account, so that a batch of openings cannot block
a batch of charges. Openings and resolutions of one lead wait for each other at the lead's row: an
opening sees whatever was decided before it.
"""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from billing.disputes.errors import DisputeResolved, UnknownDispute
from db.models import Account, LeadCharge, LeadDispute


@dataclass(frozen=True, slots=True)
class PendingDispute:
    """A pending dispute with the rows that its resolution changes, all locked."""

    dispute: LeadDispute
    account: Account
    lead: LeadCharge


def lock_lead(session: Session, lead_id: str) -> LeadCharge | None:
    """Lock the row of a lead and return it as it is now; None if there is none."""
    return session.get(
        LeadCharge, lead_id, with_for_update={"key_share": True}, populate_existing=True
    )


def lock_pending(session: Session, dispute_id: int) -> PendingDispute:
    """Lock a dispute that is to be resolved; raises `UnknownDispute` or `DisputeResolved`."""
    found = session.get(LeadDispute, dispute_id)
    if found is None:
        raise UnknownDispute(dispute_id)
    account = session.get_one(
        Account, found.account_id, with_for_update={"key_share": True}, populate_existing=True
    )
    lead = lock_lead(session, found.lead_id)
    dispute = session.get_one(LeadDispute, dispute_id, with_for_update=True, populate_existing=True)
    if dispute.state != "pending":
        raise DisputeResolved(dispute_id, dispute.state, dispute.resolved_by or "nobody")
    assert lead is not None  # a foreign key keeps it
    return PendingDispute(dispute, account, lead)

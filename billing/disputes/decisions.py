"""What the rules of disputes decide, as pure functions of loaded rows.

Called by `billing/disputes/opening.py` and `billing/disputes/resolution.py`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from billing.disputes.errors import (
    DisputedBefore,
    DisputeOpen,
    DisputeWindowOver,
    LeadNotCharged,
    NothingToRefund,
)
from db.models import LeadCharge, LeadDispute

DisputeState = Literal["pending", "approved", "partially_approved", "rejected", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Resolution:
    """The end of a dispute: its state, and the credits that are given back."""

    state: DisputeState
    credits_refunded: int = 0


def check_disputable(
    lead: LeadCharge,
    *,
    earlier: LeadDispute | None,
    charged_at: datetime | None,
    window: timedelta,
    now: datetime,
) -> None:
    """Raise the error that says why a lead cannot be disputed now.

    `earlier` is the newest dispute of the lead that was not withdrawn. The window runs from
    `charged_at`, the moment the ledger took the credits, to its last moment. Raises `DisputeOpen`,
    `DisputedBefore`, `LeadNotCharged` or `DisputeWindowOver`.
    """
    if earlier is not None and earlier.state == "pending":
        raise DisputeOpen(lead.lead_id, earlier.id)
    if earlier is not None:
        raise DisputedBefore(lead.lead_id, earlier.id, earlier.state)
    if lead.state != "charged" or charged_at is None:
        raise LeadNotCharged(lead.lead_id, lead.state)
    ends_at = charged_at + window
    if now > ends_at:
        raise DisputeWindowOver(lead.lead_id, ends_at)


def approval(dispute: LeadDispute, *, amount: int | None, left: int) -> Resolution:
    """Return the resolution that gives `amount` credits back; None: all that are left.

    `left` is what can still be given back of the lead's charge: that amount, named or not, makes
    the dispute approved, less makes it partially approved. Raises `NothingToRefund`.
    """
    if not left:
        raise NothingToRefund(dispute.id, dispute.lead_id)
    credits_ = left if amount is None else amount
    return Resolution("approved" if credits_ == left else "partially_approved", credits_)

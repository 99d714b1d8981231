"""Disputes of leads."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing_client.open_enums import OpenEnum


class DisputeState(OpenEnum):
    """What became of a dispute."""

    PENDING = "pending"
    APPROVED = "approved"
    PARTIALLY_APPROVED = "partially_approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class DisputeType(OpenEnum):
    """What is wrong with the lead; the catalog has those that can be used."""

    WRONG_NUMBER = "wrong_number"
    DUPLICATE = "duplicate"
    NOT_INTERESTED = "not_interested"
    OUTSIDE_AREA = "outside_area"
    SPAM = "spam"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Dispute:
    """A dispute and its state."""

    dispute_id: int
    lead_id: str
    account: str
    dispute_type: DisputeType
    description: str
    evidence: Any
    """The JSON that it was opened with."""
    state: DisputeState
    created_at: datetime
    resolved_at: datetime | None
    notes: str | None
    """The operator's notes on the decision."""
    credits_refunded: int

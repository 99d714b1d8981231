"""Leads: that one was accepted, and what became of it."""

from dataclasses import dataclass
from datetime import datetime

from billing_client.open_enums import OpenEnum


class LeadState(OpenEnum):
    """What became of a lead."""

    PENDING = "pending"
    CHARGED = "charged"
    PARKED = "parked"
    """The credit is short: it is charged once there is enough."""
    CONFLICT = "conflict"
    """It was sent before with another account or price; nothing was charged."""
    REFUNDED = "refunded"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    """Its event is wrong in the way that `reason` says: send it anew, corrected."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The lead will be charged: it is recorded, or its copy is kept until it is."""

    lead_id: str
    event_id: str
    """The id of the delivery on both sides, for questions to the operators."""
    seen_before: bool
    """The same delivery was already recorded. Always False over Celery, which does not know."""


@dataclass(frozen=True, slots=True)
class LeadStatus:
    """A lead and its state."""

    lead_id: str
    account: str
    state: LeadState
    credits: int
    """The price of the lead; zero for a conflict, which charges nothing."""
    package_price_paise: int | None = None
    conflicts: int = 0
    """Requests that do not match its account or price; none of them was charged."""
    reason: str | None = None
    """Why it is refused, or still pending, if that is known."""
    occurred_at: datetime | None = None
    created_at: datetime | None = None
    """When it was first charged or parked."""
    updated_at: datetime | None = None

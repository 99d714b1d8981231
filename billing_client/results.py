"""What the calls answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """The lead will be billed: it is recorded, or on its way under a copy that is kept."""

    lead_id: str
    event_id: str
    """Names the delivery on both sides, for a question to the operators."""
    seen_before: bool
    """The very same delivery had been recorded already. Over Celery always False: not known."""


@dataclass(frozen=True, slots=True)
class LeadStatus:
    """What became of a lead."""

    lead_id: str
    account: str
    state: str
    """pending, charged, parked (not enough credit), conflict or refunded."""
    credits: int
    """What the lead costs."""

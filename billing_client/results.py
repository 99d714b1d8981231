"""What the calls answer."""

from dataclasses import dataclass
from datetime import datetime


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


@dataclass(frozen=True, slots=True)
class Hold:
    """Credit that is set aside, and what became of it."""

    hold_id: str
    account: str
    state: str
    """open, captured, voided or expired."""
    amount: int
    """What was set aside."""
    captured: int
    """What was charged of it; the rest is free again."""
    expires_at: datetime | None
    transaction_id: str | None
    """Of the charge, once it is captured."""
    balance: int | None
    """The account's, and what others hold of it, as far as the answer tells."""
    held: int | None
    available: int | None
    replayed: bool
    """An answer that was given before, to this key: `hold_status` tells what is true by now."""


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge that is done, and what it left."""

    transaction_id: str
    account: str
    amount: int
    balance: int
    held: int
    available: int
    replayed: bool
    """It was done before, under this key; the balance is that of then."""

"""The results of calls."""

from dataclasses import dataclass
from datetime import datetime


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
    """The state of a lead."""

    lead_id: str
    account: str
    state: str
    """pending, charged, parked (not enough credit), conflict, refunded, cancelled or refused."""
    credits: int
    """The price of the lead."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Credit that is set aside, and its state."""

    hold_id: str
    account: str
    state: str
    """open, captured, voided or expired."""
    amount: int
    """Credits that were set aside."""
    captured: int
    """Credits of it that were charged; the rest is free again."""
    expires_at: datetime | None
    transaction_id: str | None
    """The charge, once the hold is captured."""
    balance: int | None
    """The account's credit, as is what follows; None if the answer does not say."""
    held: int | None
    available: int | None
    replayed: bool
    """It is the stored answer to this key: `hold_status` returns the hold as it is now."""
    retried: bool = False
    """The request was sent more than once: a stored answer may be that of its own first try."""


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge, and the credit that is left."""

    transaction_id: str
    account: str
    amount: int
    balance: int
    held: int
    available: int
    replayed: bool
    """The charge was done earlier under this key; the balance is that of then."""

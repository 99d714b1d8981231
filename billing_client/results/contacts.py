"""Contacts: who is mailed about an account."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Contact:
    """An e-mail address, and what it is mailed about."""

    contact_id: int
    account: str
    address: str = field(repr=False)
    topics: tuple[str, ...]
    """Names (`balance.low`) and patterns (`balance.*`, `*`)."""
    confirmed: bool
    """Until its reader has confirmed it, it gets receipts alone."""
    unsubscribed: tuple[str, ...]
    """Kinds of mail that its reader has stopped; `all`: every one but receipts."""
    created_at: datetime

"""Credit that is spent: holds and charges."""

from dataclasses import dataclass
from datetime import datetime

from billing_client.open_enums import OpenEnum


class HoldState(OpenEnum):
    """Whether a hold still sets credit aside."""

    OPEN = "open"
    CAPTURED = "captured"
    VOIDED = "voided"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Hold:
    """Credit that is set aside, and its state."""

    hold_id: str
    account: str
    state: HoldState
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

"""Accounts: what they are, what they have, and the rows of their ledger."""

from dataclasses import dataclass
from datetime import datetime

from billing_client.open_enums import OpenEnum


class AlertLevel(OpenEnum):
    """How an account stands with its credit."""

    OK = "ok"
    LOW = "low"
    EXHAUSTED = "exhausted"
    IN_DEBT = "in_debt"


class TransactionKind(OpenEnum):
    """Why credit moved."""

    LEAD_CHARGE = "lead_charge"
    LEAD_REFUND = "lead_refund"
    USAGE = "usage"
    USAGE_REFUND = "usage_refund"
    TOP_UP = "top_up"
    BONUS = "bonus"
    GRANT = "grant"
    GOODWILL = "goodwill"
    ADJUSTMENT = "adjustment"
    EXPIRY = "expiry"
    WRITE_OFF = "write_off"
    OPENING_BALANCE = "opening_balance"
    CLAWBACK = "clawback"
    CLAWBACK_RETURN = "clawback_return"
    BONUS_CLAWBACK = "bonus_clawback"
    BONUS_CLAWBACK_RETURN = "bonus_clawback_return"


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account has, in credits."""

    account: str
    balance: int
    held: int
    """What open holds set aside."""
    available: int
    """balance - held + overdraft_limit: what can be spent now."""
    overdraft_limit: int
    alert_level: AlertLevel


@dataclass(frozen=True, slots=True)
class Account:
    """An account and its credit; amounts in credits."""

    account: str
    name: str
    product: str
    timezone: str
    """An IANA name, such as Asia/Kolkata."""
    balance: int
    held: int
    """What open holds set aside."""
    available: int
    """balance - held + overdraft_limit: what can be spent now."""
    overdraft_limit: int
    """How far the balance may go below zero."""
    alert_level: AlertLevel
    state_code: str | None
    """The customer's GST state, two digits."""
    gstin: str | None
    """The customer's GST number, if it is registered."""
    created_at: datetime
    low_balance: int | None = None
    """It is low at this many credits or fewer: its own number, or the catalog's."""


@dataclass(frozen=True, slots=True)
class Movement:
    """The ledger rows of one kind in a period."""

    kind: TransactionKind
    rows: int
    amount: int
    """Credits; negative if they were taken."""


@dataclass(frozen=True, slots=True)
class Statement:
    """An account's period, by when rows were written: opening + the totals = closing."""

    account: str
    timezone: str
    """The account's zone, in which the days are."""
    start: datetime
    """The first instant of the first day."""
    end: datetime
    """The first instant after the last day, not included."""
    opening: int
    """The balance before start, in credits."""
    totals: tuple[Movement, ...]
    """By kind; a kind without rows is left out."""
    closing: int
    """The balance at end; now, if end lies ahead."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """One row of the ledger."""

    id: int
    version: int
    """Numbers the account's rows without a gap."""
    amount: int
    """Credits; negative if they were taken."""
    balance_after: int
    kind: TransactionKind
    idempotency_key: str
    description: str
    lead_id: str | None
    payment_id: str | None
    event_at: datetime
    """When it happened."""
    created_at: datetime
    """When it was written."""

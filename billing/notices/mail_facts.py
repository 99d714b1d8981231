"""What each mail says: one frozen class of facts per kind, read when the mail is sent.

The rules fill them in (`billing/notices/mail_loading.py`); `notify/mail` makes text, HTML and
headers of them and decides nothing. Money is in paise, credits are whole numbers, times are aware:
the templates show them in the `zone` of the mail.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Literal


class MailKind(StrEnum):
    """What a mail is about; a contact unsubscribes by kind."""

    BALANCE_LOW = "balance_low"
    BALANCE_EXHAUSTED = "balance_exhausted"
    BALANCE_IN_DEBT = "balance_in_debt"
    LEADS_PARKED = "leads_parked"
    TOP_UP = "top_up"
    REFUND = "refund"
    DISPUTE_DECIDED = "dispute_decided"
    RENEWAL_REMINDER = "renewal_reminder"
    PLAN_DEGRADED = "plan_degraded"
    CONFIRM_ADDRESS = "confirm_address"
    TEST = "test"
    OPERATOR_CHARGEBACK = "operator_chargeback"
    OPERATOR_ENDPOINT = "operator_endpoint"
    OPERATOR_PAYMENT = "operator_payment"


EVERY_KIND = "all"
"""What a contact may unsubscribe from beside a kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceFacts:
    """Credit is low, used up, or owed: the state when the mail is sent."""

    balance: int
    """Credits; negative: a debt."""
    low_balance: int
    """The balance counts as low at this many credits or fewer."""
    parked_leads: int
    """Leads that wait for credit."""
    top_up_url: str | None
    """Where to buy credit; None: the product names no page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedLead:
    """One lead that waits for credit."""

    lead_id: str
    credits: int
    parked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedLeadsFacts:
    """What is parked when the day's digest is sent, the oldest first."""

    leads: tuple[ParkedLead, ...]
    """The first of them, at most `MOST_LISTED`."""
    count: int
    """How many there are in all."""
    credits: int
    """What they cost together."""
    balance: int
    top_up_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUpFacts:
    """A payment was received: for credit, or for a year of a plan."""

    payment_id: str
    gateway: str
    amount_paise: int
    """What was paid, GST included."""
    currency: str
    credits: int
    """Without the bonus; zero for a plan."""
    bonus_credits: int
    plan: str | None
    """The plan that was paid for, as customers read it; None: credit was bought."""
    paid_until: date | None
    """Of a plan: the first local day that is not paid."""
    paid_at: datetime
    balance: int
    """Credits after all that is on record when the mail is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundFacts:
    """Money has gone back to the payer."""

    refund_id: int
    payment_id: str
    gateway: str
    amount_paise: int
    currency: str
    credits: int
    """Taken back with the money, bonus included."""
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeDecidedFacts:
    """A dispute about a lead was decided."""

    dispute_id: int
    lead_id: str
    type: str
    """Of the catalog: `wrong_number`."""
    accepted: bool
    credits_refunded: int
    decided_at: datetime
    balance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalFacts:
    """A year of a plan ends or has ended: a reminder, or that the plan is degraded."""

    plan: str
    """As customers read it."""
    status: Literal["active", "due_soon", "past_due", "degraded"]
    days: int
    """Local days from the due day to the day of sending; negative: it lies ahead."""
    due_on: date
    grace_ends_on: date
    """The first local day on which the plan is degraded if nobody pays."""
    price_paise: int | None
    """Of a further year, GST included; None: it is no longer sold."""
    pay_url: str | None = field(repr=False)
    """The signed page that shows what the renewal costs and leads on to pay."""
    pay_url_expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmAddressFacts:
    """Somebody gave this address for an account; its owner confirms it."""

    confirm_url: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFacts:
    """An operator tries whether mail arrives."""

    __test__ = False  # no test of pytest

    asked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorChargebackFacts:
    """A payer's bank wants money back."""

    payment_id: str
    gateway: str
    gateway_dispute_id: str
    state: str
    amount_paise: int
    currency: str
    respond_by: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorEndpointFacts:
    """An endpoint of notices fails, or was switched off."""

    endpoint_id: int
    host: str
    """Of its address, without the path, which may hold a secret."""
    product: str | None
    state: Literal["failing", "off"]
    reason: str | None
    since: datetime | None
    """When the first of the failed attempts was."""
    waiting: int
    """Notices that were not delivered yet, or were skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorPaymentFacts:
    """Money came in that a person has to look at."""

    payment_id: str
    gateway: str
    state: Literal["unmatched", "quarantined"]
    reason: str
    amount_paise: int
    currency: str


Facts = (
    BalanceFacts
    | ParkedLeadsFacts
    | TopUpFacts
    | RefundFacts
    | DisputeDecidedFacts
    | RenewalFacts
    | ConfirmAddressFacts
    | TestFacts
    | OperatorChargebackFacts
    | OperatorEndpointFacts
    | OperatorPaymentFacts
)

FACTS_OF: Mapping[MailKind, type[Facts]] = {
    MailKind.BALANCE_LOW: BalanceFacts,
    MailKind.BALANCE_EXHAUSTED: BalanceFacts,
    MailKind.BALANCE_IN_DEBT: BalanceFacts,
    MailKind.LEADS_PARKED: ParkedLeadsFacts,
    MailKind.TOP_UP: TopUpFacts,
    MailKind.REFUND: RefundFacts,
    MailKind.DISPUTE_DECIDED: DisputeDecidedFacts,
    MailKind.RENEWAL_REMINDER: RenewalFacts,
    MailKind.PLAN_DEGRADED: RenewalFacts,
    MailKind.CONFIRM_ADDRESS: ConfirmAddressFacts,
    MailKind.TEST: TestFacts,
    MailKind.OPERATOR_CHARGEBACK: OperatorChargebackFacts,
    MailKind.OPERATOR_ENDPOINT: OperatorEndpointFacts,
    MailKind.OPERATOR_PAYMENT: OperatorPaymentFacts,
}
"""The class of facts of each kind."""

MOST_LISTED = 50
"""Leads that a digest lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFacts:
    """One mail to one contact, ready to be composed."""

    kind: MailKind
    to: str = field(repr=False)
    """The address: one `@`, no control characters, ASCII before the `@`."""
    message_id: str
    """With its angle brackets; the same at every attempt."""
    written_at: datetime
    """When what it reports happened, or it was asked for: its `Date`."""
    account: str | None
    """The account's reference; None: the mail goes to operators."""
    account_name: str | None = field(repr=False)
    product: str | None
    """The product's name as customers read it."""
    zone: str
    """IANA name of the zone in which days and times are shown."""
    unsubscribe_url: str | None = field(repr=False)
    """For List-Unsubscribe and the foot of the mail; None: receipts and tests have none."""
    facts: Facts

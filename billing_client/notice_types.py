"""The notices of the back office, typed: one class for each topic that platforms get.

Fields have the names of docs/reference/notices.md. Credit is whole credits, money whole paise,
times are aware datetimes, days dates. A field that a newer server adds is in `data`, and a topic
that it adds is a plain `Notice`. The file is long because it is the list of topics.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, ClassVar

from billing_client.open_enums import OpenEnum
from billing_client.results import (
    AlertLevel,
    DisputeState,
    DisputeType,
    Gateway,
    PaymentState,
    PlanState,
    RefundState,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that happened; of a topic that this version does not know, if it is no subclass."""

    TOPIC: ClassVar[str] = ""

    id: str
    """The same at every attempt to deliver it, such as `ntc_17`."""
    topic: str
    """What happened, such as `balance.low`: the `type` of the body."""
    timestamp: datetime
    """When it happened."""
    account: str | None = None
    """The account that it is about; None: it is about none that is known."""
    sequence: int | None = None
    """Counts the account's notices, of all topics: the greater one is the newer one."""
    data: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """All that was sent about it, the fields above and below too, as JSON has them."""


@dataclass(frozen=True, slots=True)
class NoticePage:
    """A page of what happened, in the order in which it was committed."""

    notices: tuple[Notice, ...]
    next: str
    """What to ask with next, as `after`; also if there is no notice. Keep it when they are done."""
    more: bool
    """Whether there is more by now: ask again at once, else in a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountNotice(Notice):
    """Something that happened to an account."""

    account: str
    sequence: int


# Balances


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceNotice(AccountNotice):
    """The credit of an account crossed a level."""

    level: AlertLevel
    previous_level: AlertLevel
    balance: int
    """Credits; negative: debt."""
    low_balance: int
    """At this many credits or fewer it is low."""


class BalanceLow(BalanceNotice):
    """The balance fell to its low level."""

    __slots__ = ()
    TOPIC = "balance.low"


class BalanceExhausted(BalanceNotice):
    """No credit is left; `level` says if there is debt at once."""

    __slots__ = ()
    TOPIC = "balance.exhausted"


class BalanceInDebt(BalanceNotice):
    """An account that had no credit left is in debt."""

    __slots__ = ()
    TOPIC = "balance.in_debt"


class BalanceRecovered(BalanceNotice):
    """There is credit again, or the balance is no longer low."""

    __slots__ = ()
    TOPIC = "balance.recovered"


# Leads


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadNotice(AccountNotice):
    """What became of a lead."""

    lead_id: str
    credits: int
    """What it costs."""


class LeadCharged(LeadNotice):
    """A lead was charged. Comes only to an endpoint that names this topic."""

    __slots__ = ()
    TOPIC = "lead.charged"


class LeadParked(LeadNotice):
    """The account cannot pay for the lead: it waits for credit."""

    __slots__ = ()
    TOPIC = "lead.parked"


class LeadReleased(LeadNotice):
    """Credit came, and a parked lead was charged."""

    __slots__ = ()
    TOPIC = "lead.released"


class LeadCancelled(LeadNotice):
    """A parked lead was cancelled: it costs nothing."""

    __slots__ = ()
    TOPIC = "lead.cancelled"


class LeadRefunded(LeadNotice):
    """The credit of a charged lead was given back."""

    __slots__ = ()
    TOPIC = "lead.refunded"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadRefusal(Notice):
    """A request for a lead was refused. Its account may be unknown; then it has no sequence."""

    account: str
    """As the request has it."""
    lead_id: str
    reason: str
    """The name of the refusal, such as `UnknownAccount`."""


class LeadConflict(LeadRefusal):
    """A lead came again with another account or price: the first one stands."""

    __slots__ = ()
    TOPIC = "lead.conflict"


class LeadRefused(LeadRefusal):
    """A request for a lead was refused, and left no lead."""

    __slots__ = ()
    TOPIC = "lead.refused"


# Disputes of leads


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeNotice(AccountNotice):
    """A dispute of a lead."""

    dispute_id: int
    lead_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeOpened(DisputeNotice):
    """A lead was disputed."""

    TOPIC: ClassVar[str] = "dispute.opened"

    type: DisputeType


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeDecided(DisputeNotice):
    """A dispute was decided, or withdrawn."""

    TOPIC: ClassVar[str] = "dispute.resolved"

    state: DisputeState
    credits_refunded: int
    """Credits given back, perhaps zero."""


# Payments, refunds and chargebacks


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentNotice(Notice):
    """A payment, in the state that the topic names."""

    payment_id: str
    """The gateway's."""
    gateway: Gateway
    order_id: str | None
    """The gateway's."""
    state: PaymentState
    reason: str | None
    """Why it was not credited."""
    amount_paise: int
    currency: str
    credits: int
    """What it brought, without the bonus."""
    bonus_credits: int


class PaymentCaptured(PaymentNotice):
    """The money came, and what was bought with it."""

    __slots__ = ()
    TOPIC = "payment.captured"


class PaymentPartiallyRefunded(PaymentNotice):
    """A payment was attached by hand of which a part had been refunded already."""

    __slots__ = ()
    TOPIC = "payment.partially_refunded"


class PaymentFailed(PaymentNotice):
    """An attempt to pay failed; another one may succeed."""

    __slots__ = ()
    TOPIC = "payment.failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundNotice(Notice):
    """A refund, in the state that the topic names; of unmatched money it has no account."""

    refund_id: str
    state: RefundState
    payment: str
    """The gateway's id of the payment."""
    amount_paise: int
    gateway_refund_id: str | None
    """The gateway's id of the refund, once it has one."""


class RefundRequested(RefundNotice):
    """A refund was asked for: its credit is reserved."""

    __slots__ = ()
    TOPIC = "refund.requested"


class RefundSubmitted(RefundNotice):
    """The gateway accepted a refund, and has not decided it."""

    __slots__ = ()
    TOPIC = "refund.submitted"


class RefundUnclear(RefundNotice):
    """The gateway gave no clear answer, and is asked again: do not refund again."""

    __slots__ = ()
    TOPIC = "refund.unknown"


class RefundProcessed(RefundNotice):
    """The money was sent, and the credit is taken."""

    __slots__ = ()
    TOPIC = "refund.processed"


class RefundFailed(RefundNotice):
    """A refund failed: its credit is given back."""

    __slots__ = ()
    TOPIC = "refund.failed"


class ChargebackState(OpenEnum):
    """What became of a chargeback."""

    OPEN = "open"
    WON = "won"
    """The payment stands."""
    LOST = "lost"
    """What the payment brought is taken."""
    CLOSED = "closed"
    """It ended without a decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargebackNotice(Notice):
    """A chargeback, in the state that the topic names; of unmatched money it has no account."""

    state: ChargebackState
    payment: str
    """The gateway's id of the payment."""
    dispute: str
    """The gateway's id of the chargeback."""
    amount_paise: int
    moves_money: bool
    """False: the bank only asks, and takes nothing."""


class ChargebackOpen(ChargebackNotice):
    """A bank took a payment back, or asks about it: what it brought is held."""

    __slots__ = ()
    TOPIC = "chargeback.open"


class ChargebackWon(ChargebackNotice):
    """The payment stands: what was held is free again."""

    __slots__ = ()
    TOPIC = "chargeback.won"


class ChargebackLost(ChargebackNotice):
    """The bank decided for the customer: what the payment brought is taken."""

    __slots__ = ()
    TOPIC = "chargeback.lost"


class ChargebackClosed(ChargebackNotice):
    """It ended without a decision: what was held is free again."""

    __slots__ = ()
    TOPIC = "chargeback.closed"


# Plans


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanNotice(AccountNotice):
    """A plan of an account."""

    plan_type: str
    """Its name in the catalog."""
    service_renewal_status: PlanState
    due_on: date
    """The day that the next year is due, in the account's zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidYear(PlanNotice):
    """A year of a plan was paid."""

    service_renewal_next_due: datetime
    """The first instant of `due_on`."""
    paid_at: datetime
    by: str
    """What paid it."""


class PlanActivated(PaidYear):
    """The first year of a plan was paid: the plan begins."""

    __slots__ = ()
    TOPIC = "plan.activated"


class PlanRenewed(PaidYear):
    """A further year of a plan was paid."""

    __slots__ = ()
    TOPIC = "plan.renewed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalNotice(PlanNotice):
    """The renewal of a plan went to another state."""

    grace_ends_on: date
    """The day that the plan is restricted, if it is not paid."""
    was: PlanState
    at: datetime


class PlanActive(RenewalNotice):
    """A plan is active again, because its year was paid."""

    __slots__ = ()
    TOPIC = "plan.active"


class PlanDueSoon(RenewalNotice):
    """The next year is due soon."""

    __slots__ = ()
    TOPIC = "plan.due_soon"


class PlanPastDue(RenewalNotice):
    """The next year is due and not paid; the plan works until the grace ends."""

    __slots__ = ()
    TOPIC = "plan.past_due"


class PlanDegraded(RenewalNotice):
    """The grace is over: the plan is restricted until a year is paid."""

    __slots__ = ()
    TOPIC = "plan.degraded"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalReminder(PlanNotice):
    """It is time to remind the customer of the next year."""

    TOPIC: ClassVar[str] = "renewal.reminder"

    grace_ends_on: date
    """The day that the plan is restricted, if it is not paid."""
    days: int
    """Days since `due_on`; negative: until then."""
    at: datetime


# The endpoint itself


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointTest(Notice):
    """An operator tests this endpoint."""

    TOPIC: ClassVar[str] = "endpoint.test"

    endpoint_id: int


TYPES: Mapping[str, type[Notice]] = {
    kind.TOPIC: kind
    for kind in (
        BalanceLow,
        BalanceExhausted,
        BalanceInDebt,
        BalanceRecovered,
        LeadCharged,
        LeadParked,
        LeadReleased,
        LeadCancelled,
        LeadRefunded,
        LeadConflict,
        LeadRefused,
        DisputeOpened,
        DisputeDecided,
        PaymentCaptured,
        PaymentPartiallyRefunded,
        PaymentFailed,
        RefundRequested,
        RefundSubmitted,
        RefundUnclear,
        RefundProcessed,
        RefundFailed,
        ChargebackOpen,
        ChargebackWon,
        ChargebackLost,
        ChargebackClosed,
        PlanActivated,
        PlanRenewed,
        PlanActive,
        PlanDueSoon,
        PlanPastDue,
        PlanDegraded,
        RenewalReminder,
        EndpointTest,
    )
}
"""Topic -> class."""

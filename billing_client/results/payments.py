"""Money: orders, the payments that pay them, and refunds."""

from dataclasses import dataclass
from datetime import datetime

from billing_client.open_enums import OpenEnum


class Gateway(OpenEnum):
    """Who takes the money."""

    RAZORPAY = "razorpay"
    STRIPE = "stripe"


class OrderState(OpenEnum):
    """Whether an order can be paid, and was."""

    REQUESTED = "requested"
    """The gateway is being asked for it."""
    UNKNOWN = "unknown"
    """The gateway's answer was lost, and is looked up."""
    OPEN = "open"
    PAID = "paid"
    REFUSED = "refused"
    """The gateway refused it, or never received it."""
    EXPIRED = "expired"
    """Nobody paid it in time."""


class PaymentState(OpenEnum):
    """What became of a payment."""

    CREATED = "created"
    AUTHORIZED = "authorized"
    """Neither paid nor failed yet: ask again soon."""
    CAPTURED = "captured"
    """The money is there, and the credit too."""
    FAILED = "failed"
    """The customer may try again, and this attempt may still succeed."""
    REFUNDED = "refunded"
    PARTIALLY_REFUNDED = "partially_refunded"
    QUARANTINED = "quarantined"
    """The money arrived but does not match the order: an operator decides."""
    UNMATCHED = "unmatched"
    """The money arrived and nobody knows for whom: an operator decides."""


class RefundState(OpenEnum):
    """What became of a refund."""

    REQUESTED = "requested"
    """The gateway is being asked for it: its credit is reserved."""
    SUBMITTED = "submitted"
    """In progress: its credit is reserved."""
    UNKNOWN = "unknown"
    """The gateway's answer was lost, and is looked up."""
    PROCESSED = "processed"
    """Done: money and credit are taken back."""
    FAILED = "failed"
    """Money and credit stay as they were."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order that is paid at the gateway's checkout."""

    order_id: str | None
    """The gateway's id, which opens its checkout; None while the gateway has not answered."""
    gateway: Gateway
    account: str
    key_id: str
    """For Razorpay's checkout; empty for Stripe."""
    amount_paise: int
    currency: str
    credits: int
    """What it brings, without the bonus; zero for a plan."""
    bonus_credits: int
    state: OrderState
    checkout_url: str | None
    """Stripe's page to send the customer to."""
    created_at: datetime | None = None
    package: str | None = None
    plan: str | None = None
    payment_id: str | None = None
    """The gateway's id of the payment that paid it."""


@dataclass(frozen=True, slots=True)
class VerifiedPayment:
    """A payment as the gateway knows it now."""

    order_id: str
    payment_id: str | None
    """The gateway's; None until something is paid."""
    account: str
    state: PaymentState
    credits_added: int
    """What the payment brought, with its bonus."""


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund and its state."""

    refund_id: str
    payment_id: str
    """The gateway's."""
    state: RefundState
    amount_paise: int
    credits_taken: int
    """With the bonus; reserved while the refund is in progress."""
    debt: int
    """Credits of them that were already spent, and are owed."""
    account: str | None = None
    reason: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment of an account."""

    payment_id: str
    """The gateway's."""
    gateway: Gateway
    order_id: str | None
    """The gateway's."""
    state: PaymentState
    reason: str | None
    """Why it is quarantined or unmatched."""
    amount_paise: int
    currency: str
    refunded_paise: int
    credits: int
    """What the payment brought, without the bonus."""
    bonus_credits: int
    method: str | None
    created_at: datetime
    credited_at: datetime | None
    account: str | None = None
    """`payment_status` knows it; None also if nobody knows for whom the money is."""
    refunds: tuple[Refund, ...] = ()
    """`payment_status` knows them."""

"""What a gateway reports of a payment and of an order, in our words.

Made by `gateways/` from webhooks and answers of any gateway; read by `billing/payments/`. Nothing
about the payer is in here.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from service import request_ids

GatewayName = Literal["razorpay", "stripe"]


class Seen(StrEnum):
    """The state of a payment as the gateway saw it at one moment."""

    CREATED = "created"
    AUTHORIZED = "authorized"
    """The money is reserved at the payer's bank; it must be captured."""
    CAPTURED = "captured"
    """The money is ours, whatever was refunded of it since."""
    FAILED = "failed"
    """This attempt failed; it may still succeed (late authorization)."""
    RETURNED = "returned"
    """The money went back to the payer without a capture."""


@dataclass(frozen=True, slots=True)
class PaymentFacts:
    """One payment, as the gateway described it once."""

    gateway: GatewayName
    payment_id: str
    """The gateway's: `pay_...`, `pi_...`."""
    seen: Seen
    amount_paise: int
    """In the smallest unit of `currency`."""
    currency: str
    """ISO 4217, upper case."""
    order_id: str | None = None
    """The gateway's (`order_...`, `cs_...`), if the gateway names it."""
    receipt: str | None = None
    """Ours, if the gateway repeats it from the order; never what a browser can write."""
    refunded_paise: int = 0
    method: str | None = None
    """`card`, `upi`, `netbanking`, ..."""
    fee_paise: int | None = None
    """What the gateway keeps, `tax_paise` included; never taken off the customer's credit."""
    tax_paise: int | None = None
    error_code: str | None = None
    error_reason: str | None = None
    happened_at: datetime | None = None
    """When the payment was made, by the gateway's clock."""
    request_id: str | None = field(default_factory=request_ids.current, compare=False)
    """Of the request that we learned it by, such as the delivery of a webhook."""


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """One order, as the gateway described it once."""

    gateway: GatewayName
    order_id: str
    receipt: str | None
    amount_paise: int
    currency: str
    ended: bool = False
    """It can no longer be paid (an expired Checkout Session)."""
    checkout_url: str | None = None
    """The page to send the customer to, if the gateway has one."""

"""What a gateway reports of a refund and of a payer's dispute, in our words.

Made by `gateways/` from webhooks and answers; read by `billing/returns/refund_intake.py` and
`billing/returns/chargebacks.py`.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from billing.payments import GatewayName
from service import request_ids

RefundSeen = Literal["submitted", "processed", "failed"]
DisputeSeen = Literal["open", "under_review", "action_required", "won", "lost", "closed"]


@dataclass(frozen=True, slots=True)
class RefundFacts:
    """One refund, as the gateway described it at one moment."""

    gateway: GatewayName
    refund_id: str
    """The gateway's: `rfnd_...`, `re_...`."""
    payment_id: str
    """The gateway's."""
    amount_paise: int
    seen: RefundSeen
    """`submitted`: under way."""
    receipt: str | None = None
    """Ours, if the refund was requested here."""
    request_id: str | None = field(default_factory=request_ids.current, compare=False)
    """Of the request that we learned it by, such as the delivery of a webhook."""


@dataclass(frozen=True, slots=True)
class DisputeFacts:
    """One dispute of a payer with the bank, as the gateway described it at one moment."""

    gateway: GatewayName
    dispute_id: str
    payment_id: str
    amount_paise: int
    seen: DisputeSeen
    moves_money: bool = True
    """False: an inquiry, for which no money was taken from us (yet)."""
    phase: str | None = None
    reason_code: str | None = None
    respond_by: datetime | None = None
    request_id: str | None = field(default_factory=request_ids.current, compare=False)
    """As that of `RefundFacts`."""

"""Money that goes back to payers: refunds that we or a gateway start, and chargebacks of banks."""

from billing.returns import chargebacks, refund_intake, refund_lifecycle, refunds
from billing.returns.errors import CannotRefund, InvalidRefund, UnknownRefund
from billing.returns.facts import DisputeFacts, DisputeSeen, RefundFacts, RefundSeen

__all__ = [
    "CannotRefund",
    "DisputeFacts",
    "DisputeSeen",
    "InvalidRefund",
    "RefundFacts",
    "RefundSeen",
    "UnknownRefund",
    "chargebacks",
    "refund_intake",
    "refund_lifecycle",
    "refunds",
]

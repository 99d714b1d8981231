"""Disputes of leads: opening and resolving them, and the quality scores that follow from them."""

from billing.disputes import quality, queries
from billing.disputes.decisions import DisputeState
from billing.disputes.errors import (
    DisputedBefore,
    DisputeOpen,
    DisputeResolved,
    DisputeWindowOver,
    InvalidDispute,
    LeadNotCharged,
    NothingToRefund,
    UnknownDispute,
)
from billing.disputes.opening import open_dispute
from billing.disputes.resolution import approve, reject, withdraw
from billing.disputes.validation import MAX_EVIDENCE_BYTES

__all__ = [
    "DisputeOpen",
    "DisputeResolved",
    "DisputeState",
    "DisputeWindowOver",
    "DisputedBefore",
    "InvalidDispute",
    "LeadNotCharged",
    "MAX_EVIDENCE_BYTES",
    "NothingToRefund",
    "UnknownDispute",
    "approve",
    "open_dispute",
    "quality",
    "queries",
    "reject",
    "withdraw",
]

"""Disputes of leads, and the quality scores that follow from them."""

from billing.disputes import quality, queries
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
from billing.disputes.lifecycle import State, approve, open_dispute, reject, withdraw
from billing.disputes.validation import MAX_EVIDENCE_BYTES

__all__ = [
    "DisputeOpen",
    "DisputeResolved",
    "DisputeWindowOver",
    "DisputedBefore",
    "InvalidDispute",
    "LeadNotCharged",
    "MAX_EVIDENCE_BYTES",
    "NothingToRefund",
    "State",
    "UnknownDispute",
    "approve",
    "open_dispute",
    "quality",
    "queries",
    "reject",
    "withdraw",
]

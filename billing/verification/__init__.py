"""The proof of the books: invariants, the walk over every row, and anchors kept elsewhere."""

from billing.verification import anchor_file, anchors, daily_check
from billing.verification.errors import CannotAnchor, InvalidAnchor, VerificationFailed
from billing.verification.proof import Report, verify

__all__ = [
    "CannotAnchor",
    "InvalidAnchor",
    "Report",
    "VerificationFailed",
    "anchor_file",
    "anchors",
    "daily_check",
    "verify",
]

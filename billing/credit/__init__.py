"""Spending and correcting: holds, charges in one step, reversals, corrections by hand."""

from billing.credit import corrections, hold_expiry, holds, payment_keys, reversals, usage
from billing.credit.errors import HoldFinished, InvalidHold, UnknownHold
from billing.credit.hold_request import LONGEST as LONGEST_HOLD

__all__ = [
    "HoldFinished",
    "InvalidHold",
    "LONGEST_HOLD",
    "UnknownHold",
    "corrections",
    "hold_expiry",
    "holds",
    "payment_keys",
    "reversals",
    "usage",
]

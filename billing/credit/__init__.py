"""Spending and correcting: holds, charges in one step, reversals, corrections by hand."""

from billing.credit import corrections, holds, reversals, usage
from billing.credit.errors import HoldFinished, InvalidHold, UnknownHold

__all__ = [
    "HoldFinished",
    "InvalidHold",
    "UnknownHold",
    "corrections",
    "holds",
    "reversals",
    "usage",
]

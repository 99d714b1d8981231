"""What the ledger says, read only: history, statements, a forecast, what happens meanwhile."""

from billing.reports import activity, forecast, history

__all__ = [
    "activity",
    "forecast",
    "history",
]

"""Read-only reports: history and statements, forecasts, and activity since a mark."""

from billing.reports import activity, forecast, history

__all__ = [
    "activity",
    "forecast",
    "history",
]

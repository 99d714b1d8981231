"""Read-only reports: history, statements and their periods, forecasts, activity since a mark."""

from billing.reports import activity, forecast, history, periods

__all__ = [
    "activity",
    "forecast",
    "history",
    "periods",
]

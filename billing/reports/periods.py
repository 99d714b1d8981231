"""The period of a statement: whole days of an account's zone, as instants. Pure.

Called by `api/statements.py` and `billing statement`.
"""

from calendar import monthrange
from datetime import date, datetime, timedelta

from billing.calendar import start_of_local_day
from errors import InvalidField

FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(9000, 12, 31)
"""The days of the ledger's years; see `billing/instants.py`."""


class InvalidPeriod(InvalidField):
    """A day of a period is invalid."""


def period_of(
    first: date, last: date, timezone: str, *, most_days: int | None = None
) -> tuple[datetime, datetime]:
    """Return the first instant of `first` and that of the day after `last`, in UTC.

    Raises `InvalidPeriod`, which names `from` or `to`; `most_days` limits the length.
    """
    for field, day in (("from", first), ("to", last)):
        if not FIRST_DAY <= day <= LAST_DAY:
            raise InvalidPeriod(field, f"must be a day from {FIRST_DAY} to {LAST_DAY}")
    if last < first:
        raise InvalidPeriod("to", "must not be before from")
    if most_days is not None and (last - first).days >= most_days:
        raise InvalidPeriod("to", f"must be at most {most_days} days from from, both included")
    return (
        start_of_local_day(first, timezone),
        start_of_local_day(last + timedelta(days=1), timezone),
    )


def days_of_month(month: date) -> tuple[date, date]:
    """Return the first and the last day of the month that begins on `month`."""
    return month, month.replace(day=monthrange(month.year, month.month)[1])

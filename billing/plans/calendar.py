"""The calendar of plans: years from an anchor, months, and their first instants in a zone. Pure.

Days and months are those of the account's time zone. What is due follows from the anchor and a
counter, never from "is it the day today": a day of downtime loses nothing.
"""

import re
from calendar import monthrange
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfoNotFoundError

from billing.calendar import local_day_of, start_of_local_day
from service.disclosure import shown_error

CALENDAR_ERRORS = (ZoneInfoNotFoundError, ValueError, OverflowError)
"""What is raised for a plan whose dates cannot be computed, such as one in a zone that the zone
database no longer has. A run over many plans puts such a plan off, so that the others go on."""


def problem_in(timezone: str, error: Exception) -> str:
    """Return why dates cannot be computed in an account's zone, for its row and for operators."""
    return f"no dates in the time zone {timezone}: {shown_error(error)}"


def years_after(anchor: date, years: int) -> date:
    """Return the same day `years` later; 28 February if that year has no 29th.

    Always counted from the anchor itself: four years after 29 February it is the 29th again.
    """
    year = anchor.year + years
    return anchor.replace(year=year, day=min(anchor.day, monthrange(year, anchor.month)[1]))


def month_of(moment: datetime, timezone: str) -> date:
    """Return the local month of a moment, as its first day."""
    return local_day_of(moment, timezone).replace(day=1)


def month_after(month: date) -> date:
    """Return the first day of the next month."""
    if month.month == 12:
        return date(month.year + 1, 1, 1)
    return date(month.year, month.month + 1, 1)


def months_before(month: date, months: int) -> date:
    """Return the first day of the month that is `months` earlier."""
    number = month.year * 12 + month.month - 1 - months
    return date(number // 12, number % 12 + 1, 1)


def first_month_from(moment: datetime, timezone: str) -> date:
    """Return the first local month that begins at `moment` or later."""
    month = month_of(moment, timezone)
    return month if start_of(month, timezone) >= moment else month_after(month)


@lru_cache(maxsize=4096)  # a run asks for the same few days for each account of a zone
def start_of(day: date, timezone: str) -> datetime:
    """Return the first instant of a local day, in UTC."""
    return start_of_local_day(day, timezone)


@lru_cache(maxsize=256)
def month_name(month: date) -> str:
    """Return a month as ledger keys and people write it: 2026-11."""
    return f"{month.year:04d}-{month.month:02d}"


def parse_month(name: str) -> date:
    """Return the first day of a month written as 2026-11; raises `ValueError`."""
    if not re.fullmatch("[0-9]{4}-[0-9]{2}", name):
        raise ValueError(f"must be a month such as 2026-11, not {name!r}")
    try:
        return date.fromisoformat(f"{name}-01")
    except ValueError:
        raise ValueError(f"must be a month such as 2026-11, not {name!r}") from None

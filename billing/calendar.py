"""Local days: where they begin and end in an account's time zone, as instants in UTC."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def start_of_local_day(day: date, timezone: str) -> datetime:
    """Return the first instant of a local day, in UTC.

    If the zone skips that midnight, the day begins at the next instant; if it has two of them, at
    the first.
    """
    # Through UTC and back: a local time that does not exist becomes the instant after the gap.
    return datetime.combine(day, time.min, tzinfo=ZoneInfo(timezone)).astimezone(UTC)


def local_day_of(moment: datetime, timezone: str) -> date:
    """Return the local day of a moment."""
    return moment.astimezone(ZoneInfo(timezone)).date()


def end_of_local_day(moment: datetime, timezone: str, *, days_later: int = 0) -> datetime:
    """Return the end of the local day of `moment`, or of the day `days_later` after it.

    The end is the first instant of the next local day, in UTC.
    """
    day = local_day_of(moment, timezone) + timedelta(days=days_later + 1)
    return start_of_local_day(day, timezone)

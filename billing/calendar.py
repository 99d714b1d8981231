"""Local days: ends of days in an account's time zone, as instants in UTC."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo


def end_of_local_day(moment: datetime, timezone: str, *, days_later: int = 0) -> datetime:
    """Return the end of the local day of `moment`, or of a day so many days later.

    That is the first instant of the next local day, in UTC. Where a zone skips its midnight, the
    day begins at the next instant there is.
    """
    zone = ZoneInfo(timezone)
    next_day = moment.astimezone(zone).date() + timedelta(days=days_later + 1)
    # Through UTC and back: a local time that does not exist becomes the instant after the gap.
    return datetime.combine(next_day, time.min, tzinfo=zone).astimezone(UTC)

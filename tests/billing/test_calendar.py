"""Ends of local days, also of days with no midnight, with two, and of a day that never was."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from billing.calendar import end_of_local_day


@pytest.mark.parametrize(
    ("timezone", "moment", "days_later", "end"),
    [
        ("UTC", "2026-11-20 00:00", 0, "2026-11-21 00:00"),
        ("UTC", "2026-11-20 23:59:59.999999", 0, "2026-11-21 00:00"),
        ("UTC", "2028-02-28 12:00", 1, "2028-03-01 00:00"),
        # 18:30 UTC is midnight in India: the last instant of the 20th, the first of the 21st.
        ("Asia/Kolkata", "2026-11-20 18:29:59.999999", 0, "2026-11-20 18:30"),
        ("Asia/Kolkata", "2026-11-20 18:30", 0, "2026-11-21 18:30"),
        ("Asia/Kolkata", "2026-11-20 08:00", 30, "2026-12-20 18:30"),
        # A day of 23 and one of 25 hours
        ("America/New_York", "2026-03-08 05:00", 0, "2026-03-09 04:00"),
        ("America/New_York", "2026-11-01 04:00", 0, "2026-11-02 05:00"),
        ("America/New_York", "2026-03-07 12:00", 1, "2026-03-09 04:00"),
        # No midnight: the 24th begins at 01:00, which is 22:00 UTC of the day before.
        ("Africa/Cairo", "2026-04-23 12:00", 0, "2026-04-23 22:00"),
        ("Africa/Cairo", "2026-03-24 12:00", 30, "2026-04-23 22:00"),
        ("America/Havana", "2026-03-07 12:00", 0, "2026-03-08 05:00"),
        # An hour of the evening twice, then midnight once
        ("Africa/Cairo", "2026-10-29 20:30", 0, "2026-10-29 22:00"),
        # Midnight twice: the day begins with the first.
        ("America/Havana", "2026-10-31 12:00", 0, "2026-11-01 04:00"),
        # A day that never was: after the 29th of December 2011 came the 31st.
        ("Pacific/Apia", "2011-12-29 20:00", 0, "2011-12-30 10:00"),
    ],
)
def test_a_day_ends_at_the_first_instant_of_the_next(
    timezone: str, moment: str, days_later: int, end: str
) -> None:
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert end_of_local_day(at, timezone, days_later=days_later) == datetime.fromisoformat(
        end
    ).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "timezone",
    ["Asia/Kolkata", "Africa/Cairo", "America/Havana", "America/Santiago", "Asia/Beirut",
     "Australia/Lord_Howe", "Pacific/Kiritimati", "America/New_York"],
)  # fmt: skip
def test_every_end_of_day_in_a_year_is_the_instant_at_which_the_date_changes(timezone: str) -> None:
    zone, instant = ZoneInfo(timezone), timedelta(microseconds=1)
    moment = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)
    while moment.year == 2026:
        end = end_of_local_day(moment, timezone)
        assert moment < end <= moment + timedelta(hours=25)
        today = moment.astimezone(zone).date()
        assert (end - instant).astimezone(zone).date() == today
        assert end.astimezone(zone).date() == today + timedelta(days=1)
        moment += timedelta(hours=5)


def test_the_zone_of_the_moment_does_not_matter() -> None:
    in_india = datetime(2026, 11, 21, 1, tzinfo=ZoneInfo("Asia/Kolkata"))
    assert end_of_local_day(in_india, "UTC") == datetime(2026, 11, 21, tzinfo=UTC)

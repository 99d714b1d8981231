"""The period of a statement: whole local days, whatever the zone does at their ends."""

from datetime import UTC, date, datetime, timedelta

import pytest

from billing.calendar import local_day_of
from billing.reports.periods import FIRST_DAY, LAST_DAY, InvalidPeriod, days_of_month, period_of

ZONES = ("Asia/Kolkata", "Europe/Berlin", "Africa/Cairo", "America/Santiago", "Pacific/Apia", "UTC")


@pytest.mark.parametrize("zone", ZONES)
def test_each_instant_belongs_to_one_day_of_a_year(zone: str) -> None:
    end = None
    day = date(2026, 1, 1)
    while day.year == 2026:
        start, next_start = period_of(day, day, zone)
        assert end in {None, start}  # no gap and no overlap
        assert local_day_of(start, zone) == day
        assert local_day_of(next_start - timedelta(microseconds=1), zone) == day
        end, day = next_start, day + timedelta(days=1)


def test_a_day_that_a_zone_left_out_is_empty() -> None:
    # Samoa went from 29 to 31 December 2011
    start, end = period_of(date(2011, 12, 30), date(2011, 12, 30), "Pacific/Apia")
    assert start == end == datetime(2011, 12, 30, 10, tzinfo=UTC)


@pytest.mark.parametrize("day", [FIRST_DAY, LAST_DAY])
@pytest.mark.parametrize("zone", ["Etc/GMT+12", "Pacific/Kiritimati"])
def test_the_ends_of_the_calendar_are_days_in_every_zone(day: date, zone: str) -> None:
    start, end = period_of(day, day, zone)
    assert end - start == timedelta(days=1)


@pytest.mark.parametrize(
    ("first", "last", "field"),
    [
        (date(2026, 11, 2), date(2026, 11, 1), "to"),
        (date(2025, 1, 1), date(2026, 1, 2), "to"),
        (date(1, 1, 1), date(2026, 1, 1), "from"),
        (date(2026, 1, 1), date(9999, 12, 31), "to"),
    ],
)
def test_a_period_that_makes_no_sense_is_refused_by_field(
    first: date, last: date, field: str
) -> None:
    with pytest.raises(InvalidPeriod) as refused:
        period_of(first, last, "Asia/Kolkata", most_days=366)
    assert refused.value.field == field


def test_a_year_with_its_leap_day_is_366_days() -> None:
    period_of(date(2024, 1, 1), date(2024, 12, 31), "Asia/Kolkata", most_days=366)


@pytest.mark.parametrize(
    ("month", "last"),
    [
        (date(2024, 2, 1), 29),
        (date(2026, 2, 1), 28),
        (date(2026, 11, 1), 30),
        (date(9999, 12, 1), 31),
    ],
)
def test_a_month_ends_with_its_last_day(month: date, last: int) -> None:
    assert days_of_month(month) == (month, month.replace(day=last))

"""Times and days as people type them."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import click

import clock
import settings
from billing import instants
from billing.instants import FIRST_YEAR, LAST_YEAR

_RANGE = f"in the years {FIRST_YEAR} to {LAST_YEAR}"


class _Instant(click.ParamType[datetime]):
    name = "instant"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        moment = self._read(value, param, ctx)
        if moment.tzinfo is None:
            self.fail(f"{value!r} has no zone: add Z or an offset such as +05:30", param, ctx)
        return self._in_utc(moment, value, param, ctx)

    def _read(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a time such as 2026-11-21T10:00:00+05:30", param, ctx)
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            self.fail(f"{value!r} is not {_RANGE}", param, ctx)
        return moment

    def _in_utc(
        self,
        moment: datetime,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> datetime:
        try:
            return instants.in_utc(moment)
        except ValueError as error:
            self.fail(f"{value!r} {error}", param, ctx)


@dataclass(frozen=True, slots=True)
class When:
    """A time as it was typed, which may still need a zone: an account's, or BILLING_TIMEZONE."""

    moment: datetime
    """Without a zone it is local; the time of day counts unless `days_back` is given."""
    days_back: int | None = None
    """`today` is 0 and `yesterday` is 1: the beginning of that day in the zone."""

    def at(self, zone: ZoneInfo) -> datetime:
        """Return the instant in UTC."""
        moment = self.moment
        if self.days_back is not None:
            day = moment.astimezone(zone).date() - timedelta(days=self.days_back)
            moment = datetime.combine(day, time.min)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        return moment.astimezone(UTC)


_DAYS_BACK = {"today": 0, "yesterday": 1}


class _When(_Instant):
    name = "time"

    def convert(  # type: ignore[override]
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> When:
        if isinstance(value, When):
            return value
        word = str(value).strip().lower()
        if word in _DAYS_BACK:
            return When(clock.now(), _DAYS_BACK[word])
        if word == "now":
            return When(clock.now())
        if word and _SPAN_FORM.fullmatch(word):
            try:
                return When(instants.in_utc(clock.now() - SPAN.convert(word, param, ctx)))
            except (OverflowError, ValueError):
                self.fail(f"{value!r} ago is not {_RANGE}", param, ctx)
        return When(self._read(value, param, ctx))


class _LocalInstant(_Instant):
    name = "moment"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        moment = self._read(value, param, ctx)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=settings.get().zone)
        return self._in_utc(moment, value, param, ctx)


class _Span(click.ParamType[timedelta]):
    name = "span"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = _SPAN_FORM.fullmatch(str(value))
        if found is None or not any(found.groups()):
            self.fail(f"{value!r} is not a span such as 30d, 12h, 90m, 1w or 1d12h", param, ctx)
        return timedelta(**{unit: int(number or 0) for unit, number in found.groupdict().items()})


_SPAN_FORM = re.compile(
    "".join(
        f"(?:(?P<{unit}>[0-9]{{1,7}}){unit[0]})?"
        for unit in ("weeks", "days", "hours", "minutes", "seconds")
    )
)


class _Day(click.ParamType[date]):
    name = "day"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> date:
        if isinstance(value, date):
            return value
        try:
            day = date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a day such as 2026-11-21", param, ctx)
        if not FIRST_YEAR <= day.year <= LAST_YEAR:
            self.fail(f"{value!r} is not {_RANGE}", param, ctx)
        return day


WHEN = _When()
"""A time or a day in ISO 8601, `now`, `today`, `yesterday`, or a span: so long ago."""
INSTANT = _Instant()
"""An aware time in ISO 8601."""
LOCAL_INSTANT = _LocalInstant()
"""A time or a day in ISO 8601, as an instant in UTC; without a zone in BILLING_TIMEZONE."""
SPAN = _Span()
"""Weeks, days, hours, minutes and seconds, such as 1w2d3h4m5s; each may be left out."""
DAY = _Day()
"""A calendar day in ISO 8601."""

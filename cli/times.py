"""Times and days as people type them."""

from datetime import date, datetime

import click

FIRST_YEAR, LAST_YEAR = 1970, 9000
"""What the ledger can hold; beyond it a change of zone could leave the calendar."""

_RANGE = f"in the years {FIRST_YEAR} to {LAST_YEAR}"


class _Instant(click.ParamType[datetime]):
    name = "instant"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a time such as 2026-11-21T10:00:00+05:30", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"{value!r} has no zone: add Z or an offset such as +05:30", param, ctx)
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            self.fail(f"{value!r} is not {_RANGE}", param, ctx)
        return moment


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


INSTANT = _Instant()
"""An aware time in ISO 8601."""
DAY = _Day()
"""A calendar day in ISO 8601."""

"""Years that became known out of the order in which they were paid: what the plan comes to. Pure.

All years are counted again in the order of payment, so that the plan is the same whichever payment
became known first. Called by `billing/plans/renewal.py`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from billing.calendar import local_day_of
from billing.plans.calendar import first_month_from, month_after, start_of, years_after
from billing.plans.schedule import grace_end


@dataclass(frozen=True, slots=True)
class YearCount:
    """Years from an anchor, and the spans in which the plan was not degraded."""

    anchor_on: date
    years: int
    spans: Sequence[tuple[datetime, datetime]]
    """Since, until."""

    def granted_months(
        self, begin: datetime, timezone: str, *, until: date
    ) -> Iterator[tuple[date, datetime]]:
        """Yield the months that begin in a span, from `begin` on and before the month `until`."""
        month = first_month_from(begin, timezone)
        while month < until:
            begins = start_of(month, timezone)
            if any(since <= begins < end for since, end in self.spans):
                yield month, begins
            month = month_after(month)


def count_years(bought_on: date, renewals: Sequence[datetime], timezone: str) -> YearCount:
    """Return what a plan comes to that was bought on a day and renewed at these moments."""
    anchor_on, years, since = bought_on, 1, start_of(bought_on, timezone)
    spans = []
    for paid_at in sorted(renewals):
        grace_ends_at = grace_end(years_after(anchor_on, years), timezone)
        if paid_at < grace_ends_at:
            years += 1
        else:
            spans.append((since, grace_ends_at))
            anchor_on, years, since = local_day_of(paid_at, timezone), 1, paid_at
    spans.append((since, grace_end(years_after(anchor_on, years), timezone)))
    return YearCount(anchor_on, years, spans)

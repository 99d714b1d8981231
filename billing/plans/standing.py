"""Where a plan stands at a moment, even if no tick has come since. Pure.

Used by `billing/plans/entitlements.py` and `billing/plans/overview.py`.
"""

from dataclasses import dataclass
from datetime import date, datetime

from billing.calendar import local_day_of
from billing.plans.calendar import start_of
from billing.plans.plan_dates import due_day
from billing.plans.schedule import RenewalStatus, grace_end, status_at, statuses_after
from db.models import AccountPlan


@dataclass(frozen=True, slots=True)
class Standing:
    """The renewal status of a plan at a moment, and the dates that belong to it."""

    status: RenewalStatus
    due_on: date
    """The first local day that is not paid."""
    timezone: str
    days_left: int
    """Local days to the due day; 0 on it and later."""
    grace_ended_at: datetime | None = None
    """Of a plan on record as degraded: a longer grace in a later catalog does not change it."""

    @property
    def due_at(self) -> datetime:
        """When the due day begins."""
        return start_of(self.due_on, self.timezone)

    @property
    def grace_ends_at(self) -> datetime:
        """When it is degraded if nobody pays."""
        return self.grace_ended_at or grace_end(self.due_on, self.timezone)

    @property
    def grace_ends_on(self) -> date:
        """The first local day after the grace."""
        return local_day_of(self.grace_ends_at, self.timezone)


def standing_of(plan: AccountPlan, timezone: str, moment: datetime) -> Standing:
    """Return where a plan stands at a moment: by the calendar, and never behind its row.

    So a late tick gives nobody more or less. After a move to another zone the row may be ahead of
    the calendar by some hours; that is not taken back.
    """
    due_on = due_day(plan)
    by_calendar = status_at(due_on, timezone, moment)
    recorded = RenewalStatus(plan.service_renewal_status)
    status = recorded if recorded in statuses_after(by_calendar) else by_calendar
    days_left = (due_on - local_day_of(moment, timezone)).days
    ended_at = plan.grace_ends_at if recorded is RenewalStatus.DEGRADED else None
    return Standing(status, due_on, timezone, max(0, days_left), ended_at)

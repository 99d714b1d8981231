"""Where a plan stands at a moment, whether or not a tick has come by. Changes nothing.

Asked by `billing/plans/entitlements.py` and `billing/plans/overview.py`.
"""

from dataclasses import dataclass
from datetime import date, datetime

from billing.calendar import local_day_of
from billing.plans import rows as plan_rows
from billing.plans import schedule as plan_status
from billing.plans.calendar import start_of
from billing.plans.schedule import Status, later_than
from db.models import AccountPlan


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a plan has come on the way to its due date, or behind it."""

    status: Status
    due_on: date
    """The first local day that is not paid."""
    timezone: str
    days_left: int
    """Local days to the due day, never less than 0."""
    grace_ended_at: datetime | None = None
    """Of a plan that was told to be degraded: a grace that the catalog has by now is not its."""

    @property
    def due_at(self) -> datetime:
        """When the due day begins."""
        return start_of(self.due_on, self.timezone)

    @property
    def grace_ends_at(self) -> datetime:
        """From when on it is degraded, if nobody pays."""
        return self.grace_ended_at or plan_status.grace_ends(self.due_on, self.timezone)

    @property
    def grace_ends_on(self) -> date:
        """The first local day behind the grace."""
        return local_day_of(self.grace_ends_at, self.timezone)


def standing_of(plan: AccountPlan, timezone: str, moment: datetime) -> Standing:
    """Return where a plan stands at a moment: by the calendar, and never behind what was told.

    A late tick so gives nobody more or less. What the row says may be further on by some hours,
    where the account has moved to another zone; that is not taken back.
    """
    due_on = plan_rows.due_on(plan)
    by_calendar = plan_status.status_at(due_on, timezone, moment)
    told = Status(plan.service_renewal_status)
    status = told if told in later_than(by_calendar) else by_calendar
    days_left = (due_on - local_day_of(moment, timezone)).days
    ended_at = plan.grace_ends_at if told is Status.DEGRADED else None
    return Standing(status, due_on, timezone, max(0, days_left), ended_at)

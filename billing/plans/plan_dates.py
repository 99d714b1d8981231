"""The dates of a plan's row: the due day, and the instants that follow from its days. Pure."""

from contextlib import suppress
from datetime import date, datetime

from billing.calendar import local_day_of
from billing.plans.calendar import CALENDAR_ERRORS, start_of, years_after
from billing.plans.schedule import RenewalStatus, grace_end, steps_after
from db.models import AccountPlan


def due_day(plan: AccountPlan) -> date:
    """Return the first local day that is not paid."""
    return years_after(plan.anchor_on, plan.years)


def set_instants(plan: AccountPlan, timezone: str, *, moved_from: str | None = None) -> None:
    """Set the instants that follow from a locked plan's days in a zone.

    `moved_from` is the zone that the plan was in before, if it has moved.
    """
    due_on = due_day(plan)
    plan.service_renewal_next_due = start_of(due_on, timezone)
    plan.grace_ends_at = _grace_end(plan, timezone, moved_from or timezone)
    status = RenewalStatus(plan.service_renewal_status)
    next_step = next(steps_after(plan.stepped_to, status, due_on, timezone), None)
    plan.next_step_at = next_step.at if next_step else None
    plan.next_grant_at = start_of(plan.next_grant_month, timezone)
    plan.grant_problem = plan.step_problem = None


def _grace_end(plan: AccountPlan, timezone: str, moved_from: str) -> datetime:
    if plan.service_renewal_status == RenewalStatus.DEGRADED:
        # Its end is on record: a catalog with a longer grace brings no month back, only a payment
        # does. A zone that the zone database no longer has may still be left.
        with suppress(*CALENDAR_ERRORS):
            return start_of(local_day_of(plan.grace_ends_at, moved_from), timezone)
    return grace_end(due_day(plan), timezone)

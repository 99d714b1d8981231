"""Which months of a plan are due, what each brings, and what comes next. Pure.

Used by `billing/plans/grants.py` on beat, and by `billing/plans/paid_years.py` and
`billing/plans/renewal.py` if a payment comes before the tick.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from billing import audit, catalog
from billing.ledger import Kind, Posting
from billing.plans.calendar import (
    CALENDAR_ERRORS,
    month_after,
    month_name,
    month_of,
    months_before,
    problem_in,
    start_of,
)
from billing.plans.leases import LeasedPlan
from db.models import AccountPlan

ACTOR = "system:grants"
PUT_OFF = timedelta(hours=1)
"""When a plan whose dates cannot be computed is looked at again."""


@dataclass(frozen=True, slots=True)
class DueMonth:
    """A month that has begun and was neither granted nor withheld yet."""

    month: date
    begins: datetime
    withheld: str | None
    """Why it brings nothing: `degraded`, `too_long_ago`, `no_credits`; None: it is granted."""


@dataclass(frozen=True, slots=True)
class GrantDecision:
    """What is due of one plan now, and its next month."""

    months: Sequence[DueMonth]
    next_month: date
    next_at: datetime
    """When that month begins, or when a plan that was put off is looked at again."""
    problem: str | None = None
    """Why the plan was put off; None: it was not."""


def decide(
    plan: LeasedPlan, timezone: str, *, now: datetime, through: date | None = None
) -> GrantDecision:
    """Return the months of a plan that are due now, up to the month `through`, and what is next.

    A plan whose dates cannot be computed is put off by an hour, so that the others do not wait.
    """
    try:
        months = [
            due
            for due in months_due(plan, timezone, until=now)
            if through is None or due.month <= through
        ]
        next_month = month_after(months[-1].month) if months else plan.next_grant_month
        return GrantDecision(months, next_month, start_of(next_month, timezone))
    except CALENDAR_ERRORS as error:
        problem = problem_in(timezone, error)
        return GrantDecision([], plan.next_grant_month, now + PUT_OFF, problem)


def months_due(
    plan: LeasedPlan | AccountPlan, timezone: str, *, until: datetime
) -> Iterator[DueMonth]:
    """Yield the months from a plan's next on that have begun by `until`, in order.

    A month is granted if the plan was not degraded when it began. A month of a plan that was sold
    without monthly credit is withheld as well, so that each is on record.
    """
    oldest = oldest_granted(until, timezone)
    month = plan.next_grant_month
    while (begins := start_of(month, timezone)) <= until:
        withheld = None
        if begins >= plan.grace_ends_at:
            withheld = "degraded"
        elif month < oldest:
            withheld = "too_long_ago"
        elif not plan.monthly_credits:
            withheld = "no_credits"
        yield DueMonth(month, begins, withheld)
        month = month_after(month)


def oldest_granted(now: datetime, timezone: str) -> date:
    """Return the oldest month that may still be granted, by `catch_up_months` of the catalog."""
    return _months_ago(now, timezone, catalog.get().grants.catch_up_months)


def grant_posting(
    account: str, plan: LeasedPlan | AccountPlan, month: date, *, event_at: datetime
) -> Posting:
    """Return the posting that grants a month; its key is the same whenever it is made."""
    return Posting(
        account=account,
        amount=plan.monthly_credits,
        kind=Kind.GRANT,
        idempotency_key=f"grant:{account}:{month_name(month)}",
        actor=ACTOR,
        description=f"Monthly credit of {plan.plan_type}, {month_name(month)}",
        event_at=event_at,
    )


def missed_grants(
    account: str,
    plan: AccountPlan,
    months: Iterable[tuple[date, datetime]],
    timezone: str,
    *,
    now: datetime,
) -> list[Posting]:
    """Return the grants of months (with their beginnings) that were passed over.

    Without those that are too long ago.
    """
    oldest = oldest_granted(now, timezone)
    return [
        grant_posting(account, plan, month, event_at=begins)
        for month, begins in months
        if month >= oldest and plan.monthly_credits
    ]


def withheld_change(account: str, due: DueMonth) -> audit.Change:
    """Return the entry of the audit log for a month that brought nothing."""
    after = {"month": month_name(due.month), "reason": due.withheld}
    return audit.Change(f"account:{account}", "grant.withheld", None, after)


@lru_cache(maxsize=1024)  # the accounts of a chunk share a moment and a few zones
def _months_ago(now: datetime, timezone: str, months: int) -> date:
    return months_before(month_of(now, timezone), months)

"""What a further year does to a plan: its days, its terms, its steps, the months it brings.

Called by `billing/plans/terms.py`, which locks the plan and writes the year down.
"""

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy.orm import Session

import clock
from billing import audit, catalog
from billing.calendar import local_day_of
from billing.catalog import Plan
from billing.ledger import Posting
from billing.plans import (
    enforcement as renewals,
)
from billing.plans import (
    grants,
)
from billing.plans import (
    late_years as plan_late,
)
from billing.plans import (
    rows as plan_rows,
)
from billing.plans.calendar import first_month_from, month_after, years_after
from billing.plans.enforcement import Record
from billing.plans.rows import Owner
from db.models import AccountPlan, PlanTerm


def renew(
    session: Session,
    owner: Owner,
    plan: AccountPlan,
    *,
    paid_at: datetime,
    paid: Sequence[PlanTerm],
) -> tuple[date, list[Posting]]:
    """Add a year to a locked plan, of which `paid` are the years on record, the oldest first.

    Returns the day on which the year begins, and the grants that the caller must post.
    """
    record = Record()
    if any(term.paid_at > paid_at for term in paid):
        starts_on, postings = _renew_late(owner, paid_at, plan, paid, record)
    else:
        starts_on, postings = _renew_now(session, owner, paid_at, plan, record)
    plan.updated_at = clock.now()
    plan_rows.reckon(plan, owner.timezone)
    record.write(session)
    return starts_on, postings


def terms_of(sold: Plan) -> dict[str, object]:
    """Return what the catalog's plan brings, by the columns of an account's."""
    return {
        "branches": sold.branches,
        "features": sold.features,
        "monthly_credits": sold.monthly_credits or 0,
    }


def _renew_now(
    session: Session, owner: Owner, paid_at: datetime, plan: AccountPlan, record: Record
) -> tuple[date, list[Posting]]:
    """Add a year to those that were paid before it; return when it begins, and what to grant."""
    zone = owner.timezone
    # What had come to pass by then, though no tick has seen it: judged by the years paid before.
    renewals.advance(plan, owner, record, until=paid_at, remind=False)
    postings = _grants_until(session, owner, plan, paid_at)
    in_time = paid_at < plan.grace_ends_at
    unpaid_from = plan.grace_ends_at if in_time else paid_at
    if in_time:
        starts_on = plan_rows.due_on(plan)
        plan.years += 1
    else:
        starts_on = plan.anchor_on = local_day_of(paid_at, zone)
        plan.years = 1
    # Months may have been withheld since, where the payment became known late.
    plan.next_grant_month = min(plan.next_grant_month, first_month_from(unpaid_from, zone))
    _sell(plan)
    _begin_steps(plan, owner, record)
    return starts_on, postings


def _renew_late(
    owner: Owner, paid_at: datetime, plan: AccountPlan, paid: Sequence[PlanTerm], record: Record
) -> tuple[date, list[Posting]]:
    """Add a year that was paid before another of them: all are counted anew, in their order."""
    due_on, zone = plan_rows.due_on(plan), owner.timezone
    renewed = [term.paid_at for term in paid[1:]]
    counted = plan_late.count(paid[0].starts_on, [*renewed, paid_at], zone)
    plan.anchor_on, plan.years = counted.anchor_on, counted.years
    if plan_rows.due_on(plan) != due_on:  # else its steps are those that were done
        _begin_steps(plan, owner, record)
    # What was granted is in the ledger; of what was withheld, this year brings some after all.
    months = counted.months(paid_at, zone, until=plan.next_grant_month)
    postings = grants.still_granted(owner.ref, plan, months, zone)
    return years_after(plan.anchor_on, plan.years - 1), postings


def _sell(plan: AccountPlan) -> None:
    """Fix what a plan brings from now on, as the catalog has it."""
    sold = catalog.get().plans.get(plan.plan_type)
    for name, value in terms_of(sold).items() if sold else ():
        setattr(plan, name, value)


def _begin_steps(plan: AccountPlan, owner: Owner, record: Record) -> None:
    """Make a plan active whose due date has moved: the steps to that date begin anew."""
    plan.stepped_to = None
    renewals.reactivate(plan, owner, record)


def _grants_until(
    session: Session, owner: Owner, plan: AccountPlan, moment: datetime
) -> list[Posting]:
    postings = []
    withheld = []
    for due in list(grants.months_due(plan, owner.timezone, until=moment)):
        plan.next_grant_month = month_after(due.month)
        if due.withheld is not None:
            withheld.append(grants.withholding(owner.ref, due))
        else:
            postings.append(
                grants.posting(
                    owner.ref, due.month, plan.monthly_credits, plan.plan_type, event_at=due.begins
                )
            )
    audit.record_all(session, withheld)
    return postings

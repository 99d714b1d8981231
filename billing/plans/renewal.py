"""A further year of a plan: its days, what it brings, its steps, and the months it grants.

Called by `billing/plans/paid_years.py`, which locks the plan and records the year.
"""

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy.orm import Session

import clock
from billing import audit, catalog
from billing.calendar import local_day_of
from billing.ledger import Posting
from billing.plans.calendar import first_month_from, month_after, years_after
from billing.plans.grant_months import grant_posting, missed_grants, months_due, withheld_change
from billing.plans.late_years import count_years
from billing.plans.offers import sold_fields
from billing.plans.plan_dates import due_day, set_instants
from billing.plans.plan_locks import Owner
from billing.plans.renewal_steps import StepLog, reactivate, take_steps
from db.models import AccountPlan, PlanTerm


def renew(
    session: Session,
    owner: Owner,
    plan: AccountPlan,
    *,
    paid_at: datetime,
    terms: Sequence[PlanTerm],
    log: StepLog,
) -> tuple[date, list[Posting]]:
    """Add a year to a locked plan; `terms` are the years on record, the oldest first.

    Returns the day on which the year begins, and the grants to be posted. What the caller writes
    of it is added to `log`.
    """
    if any(term.paid_at > paid_at for term in terms):
        starts_on, postings = _insert_year(owner, paid_at, plan, terms, log)
    else:
        starts_on, postings = _append_year(session, owner, paid_at, plan, log)
    plan.updated_at = clock.now()
    set_instants(plan, owner.timezone)
    return starts_on, postings


def _append_year(
    session: Session, owner: Owner, paid_at: datetime, plan: AccountPlan, log: StepLog
) -> tuple[date, list[Posting]]:
    """Add a year that was paid after all others; return its first day, and the grants."""
    zone = owner.timezone
    # What was due before the payment, even if no tick has come: judged by the years paid before.
    take_steps(plan, owner, log, until=paid_at, remind=False)
    postings = _grants_until(session, owner, plan, paid_at)
    in_time = paid_at < plan.grace_ends_at
    unpaid_from = plan.grace_ends_at if in_time else paid_at
    if in_time:
        starts_on = due_day(plan)
        plan.years += 1
    else:
        starts_on = plan.anchor_on = local_day_of(paid_at, zone)
        plan.years = 1
    # If the payment became known late, months that it pays for were withheld meanwhile.
    plan.next_grant_month = min(plan.next_grant_month, first_month_from(unpaid_from, zone))
    _set_sold_fields(plan)
    _restart_steps(plan, owner, log)
    return starts_on, postings


def _insert_year(
    owner: Owner, paid_at: datetime, plan: AccountPlan, terms: Sequence[PlanTerm], log: StepLog
) -> tuple[date, list[Posting]]:
    """Add a year that was paid before another on record: all are counted again, in order."""
    due_before, zone = due_day(plan), owner.timezone
    renewals = [term.paid_at for term in terms[1:]]
    counted = count_years(terms[0].starts_on, [*renewals, paid_at], zone)
    plan.anchor_on, plan.years = counted.anchor_on, counted.years
    if due_day(plan) != due_before:  # otherwise the steps that were done are still its steps
        _restart_steps(plan, owner, log)
    # The ledger knows the months that were granted; this year brings some that were withheld.
    months = counted.granted_months(paid_at, zone, until=plan.next_grant_month)
    postings = missed_grants(owner.ref, plan, months, zone, now=clock.now())
    return years_after(plan.anchor_on, plan.years - 1), postings


def _set_sold_fields(plan: AccountPlan) -> None:
    """Fix what a plan brings from now on, as the catalog has it."""
    sold = catalog.get().plans.get(plan.plan_type)
    for name, value in sold_fields(sold).items() if sold else ():
        setattr(plan, name, value)


def _restart_steps(plan: AccountPlan, owner: Owner, log: StepLog) -> None:
    """Make a plan active whose due date has moved: the steps to that date begin anew."""
    plan.stepped_to = None
    reactivate(plan, owner, log)


def _grants_until(
    session: Session, owner: Owner, plan: AccountPlan, moment: datetime
) -> list[Posting]:
    """Move the plan past the months that have begun by a moment; return their grants."""
    postings = []
    withheld = []
    for due in list(months_due(plan, owner.timezone, until=moment)):
        plan.next_grant_month = month_after(due.month)
        if due.withheld is None:
            postings.append(grant_posting(owner.ref, plan, due.month, event_at=due.begins))
        else:
            withheld.append(withheld_change(owner.ref, due))
    audit.record_all(session, withheld)
    return postings

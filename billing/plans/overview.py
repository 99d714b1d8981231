"""The plan of an account beside its credit, in one piece; and all plans by their due date.

Asked by `api/plans.py` and `cli/plans.py`. The state is that of the moment, not of the last tick.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice

from sqlalchemy import ColumnElement, and_, or_, select, true
from sqlalchemy.orm import Session

import clock
from billing import accounts
from billing.plans import (
    entitlements,
    grants,
)
from billing.plans import (
    rows as plan_rows,
)
from billing.plans import (
    schedule as plan_status,
)
from billing.plans import (
    terms as plans,
)
from billing.plans.calendar import UNRECKONABLE, name_of, start_of
from billing.plans.entitlements import Banner
from billing.plans.schedule import Status, later_than
from billing.plans.standing import Standing, standing_of
from db.models import Account, AccountPlan


@dataclass(frozen=True, slots=True)
class Plan:
    """What was bought."""

    plan_type: str
    purchased_at: datetime
    branches: int
    features: list[str]


@dataclass(frozen=True, slots=True)
class Renewal:
    """What has become of its yearly renewal."""

    service_renewal_status: Status
    service_renewal_next_due: datetime
    """The beginning of the day that is due."""
    due_on: date
    grace_ends_at: datetime
    days_left: int
    """Local days to the due day; 0 on it and later."""


@dataclass(frozen=True, slots=True)
class NextGrant:
    """The next month's credit."""

    month: str
    """2026-12, of the account's calendar."""
    at: datetime
    """When that month begins; past: the credit comes any moment."""
    credits: int


@dataclass(frozen=True, slots=True)
class Overview:
    """What an account has; amounts in credits."""

    account: str
    plan: Plan | None
    balance: int
    held: int
    available: int
    overdraft_limit: int
    renewal: Renewal | None
    next_grant: NextGrant | None
    """None: no month is promised, as things stand."""
    banner: Banner | None
    alert_level: str


@dataclass(frozen=True, slots=True)
class Listed:
    """One plan in the list of all."""

    account: str
    plan_type: str
    service_renewal_status: Status
    due_on: date
    service_renewal_next_due: datetime
    grace_ends_at: datetime
    purchased_at: datetime


def of_account(session: Session, account: Account) -> Overview:
    """Return what an account has now, read anew."""
    account, plan = plans.with_account(session, account.id)
    standing = standing_of(plan, account.timezone, clock.now()) if plan else None
    return Overview(
        account=account.ref,
        plan=_bought(plan) if plan else None,
        balance=account.balance,
        held=account.held,
        available=accounts.available(account),
        overdraft_limit=account.overdraft_limit,
        renewal=_renewal(standing) if standing else None,
        next_grant=_next_grant(plan, standing) if plan and standing else None,
        banner=entitlements.banner(account.product, plan.plan_type if plan else None, standing),
        alert_level=account.alert_level,
    )


def listed(session: Session, *, state: Status | None, limit: int) -> Sequence[Listed]:
    """Return up to `limit` plans, of one state where given, by their due date."""
    now = clock.now()
    query = (
        select(AccountPlan, Account.ref, Account.timezone)
        .join(Account, Account.id == AccountPlan.account_id)
        .order_by(AccountPlan.service_renewal_next_due, AccountPlan.account_id)
        .execution_options(yield_per=1_000)
    )
    if state is not None:
        query = query.where(_may_be(state, now))
    # The state is found here, not in SQL: it holds by the calendar, though no tick came.
    with closing(session.execute(query)) as rows:
        found = (_listed(plan, ref, timezone, now) for plan, ref, timezone in rows)
        wanted = (one for one in found if state in {None, one.service_renewal_status})
        return list(islice(wanted, limit))


_SLACK = timedelta(days=2)
"""More than any zone and its clock changes can move a day."""


def _may_be(state: Status, now: datetime) -> ColumnElement[bool]:
    """Return a condition that leaves out plans which are far from a state."""
    told = AccountPlan.service_renewal_status == state.value
    begins = {step.status: timedelta(step.days) for step in plan_status.steps() if step.status}
    if state is not Status.ACTIVE and state not in begins:
        return told
    due = AccountPlan.service_renewal_next_due
    near: list[ColumnElement[bool]] = [true()]
    if state in begins:
        near.append(due <= now - begins[state] + _SLACK)
    ends = [begins[later] for later in later_than(state) if later in begins]
    if ends:
        near.append(due >= now - ends[0] - _SLACK)
    return or_(told, and_(*near))


def _bought(plan: AccountPlan) -> Plan:
    return Plan(plan.plan_type, plan.purchased_at, plan.branches, list(plan.features))


def _renewal(standing: Standing) -> Renewal:
    return Renewal(
        standing.status, standing.due_at, standing.due_on, standing.grace_ends_at,
        standing.days_left,
    )  # fmt: skip


def _next_grant(plan: AccountPlan, standing: Standing) -> NextGrant | None:
    # As `billing/plans/grants.py` will judge it
    month = max(plan.next_grant_month, grants.oldest_granted(clock.now(), standing.timezone))
    begins = start_of(month, standing.timezone)
    withheld = standing.status is Status.DEGRADED or begins >= plan.grace_ends_at
    if withheld or not plan.monthly_credits:
        return None
    return NextGrant(name_of(month), begins, plan.monthly_credits)


def _listed(plan: AccountPlan, ref: str, timezone: str, now: datetime) -> Listed:
    try:
        standing = standing_of(plan, timezone, now)
    except UNRECKONABLE:  # as it was told last
        return Listed(
            ref, plan.plan_type, Status(plan.service_renewal_status), plan_rows.due_on(plan),
            plan.service_renewal_next_due, plan.grace_ends_at, plan.purchased_at,
        )  # fmt: skip
    return Listed(
        ref, plan.plan_type, standing.status, standing.due_on, standing.due_at,
        standing.grace_ends_at, plan.purchased_at,
    )  # fmt: skip

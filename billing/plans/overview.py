"""An account's plan and credit in one piece, and the list of plans by due date.

Used by `api/plans.py` and `cli/plans.py`. The status is that of the moment, not of the last tick.
"""

from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice

from sqlalchemy import ColumnElement, and_, or_, select, true
from sqlalchemy.orm import Session

import clock
from billing import accounts
from billing.plans import entitlements
from billing.plans.calendar import CALENDAR_ERRORS, month_name, start_of
from billing.plans.entitlements import Banner
from billing.plans.grant_months import oldest_granted
from billing.plans.plan_dates import due_day
from billing.plans.queries import account_with_plan
from billing.plans.schedule import RenewalStatus, renewal_steps, statuses_after
from billing.plans.standing import Standing, standing_of
from db.models import Account, AccountPlan
from db.pages import COUNTED, Page, Wanted, position_of, start_after


@dataclass(frozen=True, slots=True)
class Plan:
    """What was bought."""

    plan_type: str
    purchased_at: datetime
    branches: int
    features: list[str]


@dataclass(frozen=True, slots=True)
class Renewal:
    """The state of its yearly renewal."""

    service_renewal_status: RenewalStatus
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
    """When that month begins; in the past: the credit comes any moment."""
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
    """None: no month is promised as things stand."""
    banner: Banner | None
    alert_level: str


@dataclass(frozen=True, slots=True)
class ListedPlan:
    """One plan in the list of all."""

    account: str
    plan_type: str
    service_renewal_status: RenewalStatus
    due_on: date
    service_renewal_next_due: datetime
    grace_ends_at: datetime
    purchased_at: datetime
    problem: str | None
    """Why its months or renewal steps cannot be computed, and are put off."""


def get_overview(session: Session, account: Account) -> Overview:
    """Return what an account has now, read anew."""
    account, plan = account_with_plan(session, account.id)
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
        banner=entitlements.fill_banner(
            account.product, plan.plan_type if plan else None, standing
        ),
        alert_level=account.alert_level,
    )


_BY_DUE_DATE = (AccountPlan.service_renewal_next_due, AccountPlan.account_id)


def list_plans(
    session: Session,
    wanted: Wanted,
    *,
    state: RenewalStatus | None = None,
    needs_a_person: bool = False,
) -> Page[ListedPlan]:
    """Return plans by due date; `state` None: those of every state.

    `needs_a_person`: only those that are put off because their dates cannot be computed.
    """
    now = clock.now()
    query = start_after(
        select(AccountPlan, Account.ref, Account.timezone).join(
            Account, Account.id == AccountPlan.account_id
        ),
        wanted.after,
        by=_BY_DUE_DATE,
        descending=False,
    )
    if state is not None:
        query = query.where(_may_be(state, now))
    if needs_a_person:
        query = query.where(
            or_(AccountPlan.grant_problem.is_not(None), AccountPlan.step_problem.is_not(None))
        )
    query = query.order_by(*_BY_DUE_DATE).execution_options(yield_per=1_000)
    # The state is computed here, not in SQL: it follows the calendar even if no tick came.
    with closing(session.execute(query)) as rows:
        found = ((plan, _listed(plan, ref, timezone, now)) for plan, ref, timezone in rows)
        matching = ((p, one) for p, one in found if state in {None, one.service_renewal_status})
        page = list(islice(matching, wanted.limit))
        full = len(page) == wanted.limit
        more = sum(1 for _ in islice(matching, COUNTED + 1)) if full and wanted.counted else 0
    last = page[-1][0] if more or (full and not wanted.counted) else None
    return Page(
        [one for _, one in page],
        more,
        position_of([last.service_renewal_next_due, last.account_id]) if last else None,
    )


_SLACK = timedelta(days=2)
"""More than any zone and its clock changes can move a day."""


def _may_be(state: RenewalStatus, now: datetime) -> ColumnElement[bool]:
    """Return a condition that leaves out plans far from a state; `list_plans` checks the rest."""
    recorded = AccountPlan.service_renewal_status == state.value
    starts = {step.status: timedelta(step.days) for step in renewal_steps() if step.status}
    if state is not RenewalStatus.ACTIVE and state not in starts:
        return recorded
    due = AccountPlan.service_renewal_next_due
    near: list[ColumnElement[bool]] = [true()]
    if state in starts:
        near.append(due <= now - starts[state] + _SLACK)
    ends = [starts[later] for later in statuses_after(state) if later in starts]
    if ends:
        near.append(due >= now - ends[0] - _SLACK)
    return or_(recorded, and_(*near))


def _bought(plan: AccountPlan) -> Plan:
    return Plan(plan.plan_type, plan.purchased_at, plan.branches, list(plan.features))


def _renewal(standing: Standing) -> Renewal:
    return Renewal(
        service_renewal_status=standing.status,
        service_renewal_next_due=standing.due_at,
        due_on=standing.due_on,
        grace_ends_at=standing.grace_ends_at,
        days_left=standing.days_left,
    )


def _next_grant(plan: AccountPlan, standing: Standing) -> NextGrant | None:
    # As `billing/plans/grant_months.py` will decide it.
    month = max(plan.next_grant_month, oldest_granted(clock.now(), standing.timezone))
    begins = start_of(month, standing.timezone)
    withheld = standing.status is RenewalStatus.DEGRADED or begins >= plan.grace_ends_at
    if withheld or not plan.monthly_credits:
        return None
    return NextGrant(month_name(month), begins, plan.monthly_credits)


def _listed(plan: AccountPlan, ref: str, timezone: str, now: datetime) -> ListedPlan:
    try:
        standing = standing_of(plan, timezone, now)
        status, due_at = standing.status, standing.due_at
        grace_ends_at = standing.grace_ends_at
    except CALENDAR_ERRORS:  # as it is on record
        status, due_at = RenewalStatus(plan.service_renewal_status), plan.service_renewal_next_due
        grace_ends_at = plan.grace_ends_at
    return ListedPlan(
        account=ref,
        plan_type=plan.plan_type,
        service_renewal_status=status,
        due_on=due_day(plan),
        service_renewal_next_due=due_at,
        grace_ends_at=grace_ends_at,
        purchased_at=plan.purchased_at,
        problem=plan.grant_problem or plan.step_problem,
    )

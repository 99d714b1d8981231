"""The rows of plans: locked before payments and accounts, by account id.

Called by the rules of plans, `billing/plans/terms.py`, `billing/plans/grants.py` and
`billing/plans/enforcement.py`.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from billing.calendar import local_day_of
from billing.plans import schedule as plan_status
from billing.plans.calendar import UNRECKONABLE, start_of, years_after
from billing.plans.schedule import Status
from db.bulk import int_array, text_array, time_array
from db.models import Account, AccountPlan


@dataclass(frozen=True, slots=True)
class Owner:
    """The account of a plan, as far as its calendar needs it."""

    id: int
    ref: str
    timezone: str


def lock_plans(session: Session, account_ids: Iterable[int]) -> dict[int, AccountPlan]:
    """Lock the plans of these accounts and return them as they are now, by account id."""
    wanted = sorted(set(account_ids))
    if not wanted:
        return {}
    plans = session.scalars(
        select(AccountPlan)
        .where(AccountPlan.account_id.in_(wanted))
        .order_by(AccountPlan.account_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {plan.account_id: plan for plan in plans}


def owners(session: Session, account_ids: Iterable[int]) -> dict[int, Owner]:
    """Return the accounts, by id; their zone does not change while their plan is locked."""
    rows = session.execute(
        select(Account.id, Account.ref, Account.timezone).where(Account.id.in_(account_ids))
    )
    return {row.id: Owner(row.id, row.ref, row.timezone) for row in rows}


def lease_steps(session: Session, *, now: datetime, limit: int) -> Sequence[AccountPlan]:
    """Lock plans with a step due, those that nobody else works on, and return them.

    They are not the session's: what is changed in them, `step_on` writes.
    """
    plans = session.scalars(
        select(AccountPlan)
        .where(AccountPlan.next_step_at <= now)
        .order_by(AccountPlan.next_step_at, AccountPlan.account_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    ).all()
    for plan in plans:  # a thousand objects would be written back one by one
        session.expunge(plan)
    return plans


_STEP_ON = text("""
UPDATE account_plans p
   SET service_renewal_status = n.status, stepped_to = n.stepped_to, next_step_at = n.step_at,
       grace_ends_at = n.grace, updated_at = n.at
  FROM unnest(CAST(:ids AS bigint[]), CAST(:statuses AS text[]), CAST(:stepped_to AS bigint[]),
              CAST(:step_ats AS timestamptz[]), CAST(:graces AS timestamptz[]),
              CAST(:ats AS timestamptz[])) AS n(id, status, stepped_to, step_at, grace, at)
 WHERE p.account_id = n.id
""")


def step_on(session: Session, plans: Sequence[AccountPlan]) -> None:
    """Write what the steps of leased plans have changed, in one statement."""
    stepped_to = ("NULL" if p.stepped_to is None else str(p.stepped_to) for p in plans)
    session.execute(
        _STEP_ON,
        {
            "ids": int_array(p.account_id for p in plans),
            "statuses": text_array(p.service_renewal_status for p in plans),
            "stepped_to": "{" + ",".join(stepped_to) + "}",
            "step_ats": time_array(p.next_step_at for p in plans),
            "graces": time_array(p.grace_ends_at for p in plans),
            "ats": time_array(p.updated_at for p in plans),
        },
    )


@dataclass(frozen=True, slots=True)
class Position:
    """Where a claim ended: the next one of the same run goes on behind it."""

    next_grant_at: datetime
    account_id: int


class Claimed(NamedTuple):
    """A plan whose next month has begun, locked, and what its grant needs."""

    account_id: int
    plan_type: str
    next_grant_month: date
    next_grant_at: datetime
    grace_ends_at: datetime
    monthly_credits: int


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

# Behind the last claim of the run: the index still holds what it has done, and would be walked
# through again and again. What somebody else has locked is left to them, or to the next tick.
_DUE = """
SELECT account_id, plan_type, next_grant_month, next_grant_at, grace_ends_at, monthly_credits
  FROM account_plans
 WHERE next_grant_at <= :now AND (next_grant_at, account_id) > (:at, :account_id)
   AND (CAST(:through AS date) IS NULL OR next_grant_month <= :through)
 ORDER BY next_grant_at, account_id
"""
_EACH_DUE = text(
    f"SELECT p.*, a.timezone FROM ({_DUE}) p JOIN accounts a ON a.id = p.account_id"  # noqa: S608 - ours
)
_CLAIM = text(f"{_DUE} LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED")


def claim_grants(
    session: Session, *, now: datetime, limit: int, behind: Position | None, through: date | None
) -> list[Claimed]:
    """Lock plans whose next month has begun, those that nobody else works on."""
    rows = session.execute(
        _CLAIM,
        {
            "now": now,
            "at": behind.next_grant_at if behind else _LONG_AGO,
            "account_id": behind.account_id if behind else 0,
            "through": through,
            "limit": limit,
        },
    )
    return [Claimed(*row) for row in rows.all()]


def each_due(
    session: Session, *, now: datetime, through: date | None
) -> Iterator[tuple[Claimed, str]]:
    """Yield the plans whose next month has begun, with their zones, unlocked, a few at a time."""
    asked = {"now": now, "at": _LONG_AGO, "account_id": 0, "through": through}
    rows = session.execute(_EACH_DUE, asked, execution_options={"yield_per": 1_000})
    for *plan, timezone in rows:
        yield Claimed(*plan), timezone


_MOVE_ON = text("""
UPDATE account_plans p SET next_grant_month = n.month, next_grant_at = n.at, updated_at = :now
  FROM unnest(CAST(:ids AS bigint[]), CAST(:months AS date[]), CAST(:ats AS timestamptz[]))
       AS n(id, month, at)
 WHERE p.account_id = n.id
""")


def move_on(
    session: Session, moved: Sequence[tuple[int, date, datetime]], *, now: datetime
) -> None:
    """Set the next month of claimed plans: (account id, month, its beginning)."""
    session.execute(
        _MOVE_ON,
        {
            "now": now,
            "ids": int_array(account_id for account_id, _, _ in moved),
            "months": "{" + ",".join(month.isoformat() for _, month, _ in moved) + "}",
            "ats": "{" + ",".join(f'"{begins.isoformat()}"' for _, _, begins in moved) + "}",
        },
    )


def due_on(plan: AccountPlan) -> date:
    """Return the local day that a plan is paid up to."""
    return years_after(plan.anchor_on, plan.years)


def reckon(plan: AccountPlan, timezone: str, *, before: str | None = None) -> None:
    """Set the instants that follow from a locked plan's days, in a zone.

    `before` is the zone that the plan was in, where it has moved.
    """
    due = due_on(plan)
    plan.service_renewal_next_due = start_of(due, timezone)
    plan.grace_ends_at = _grace_end(plan, timezone, before or timezone)
    status = Status(plan.service_renewal_status)
    next_step = next(plan_status.steps_after(plan.stepped_to, status, due, timezone), None)
    plan.next_step_at = next_step.at if next_step else None
    plan.next_grant_at = start_of(plan.next_grant_month, timezone)


def _grace_end(plan: AccountPlan, timezone: str, before: str) -> datetime:
    if plan.service_renewal_status == Status.DEGRADED:
        # It was told that this day has come: a catalog that has more grace by now brings no month
        # back, only a payment does.
        with suppress(*UNRECKONABLE):  # a zone that nobody knows any more is there to be left
            return start_of(local_day_of(plan.grace_ends_at, before), timezone)
    return plan_status.grace_ends(due_on(plan), timezone)

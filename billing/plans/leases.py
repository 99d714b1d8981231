"""Plans with something due, leased to one process at a time, and what it writes back.

A lease is a row lock taken with SKIP LOCKED: it ends with the transaction, and other processes pass
it over. Used by `billing/plans/enforcement.py` (steps) and `billing/plans/grants.py` (months).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.bulk import int_array, text_array, time_array
from db.models import AccountPlan


def lease_due_steps(session: Session, *, now: datetime, limit: int) -> Sequence[AccountPlan]:
    """Lease up to `limit` plans with a renewal step due, and return them.

    They are detached from the session: `save_steps` writes what changes in them.
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


_SAVE_STEPS = text("""
UPDATE account_plans p
   SET service_renewal_status = n.status, stepped_to = n.stepped_to, next_step_at = n.step_at,
       grace_ends_at = n.grace, updated_at = n.at, step_problem = n.problem
  FROM unnest(CAST(:ids AS bigint[]), CAST(:statuses AS text[]), CAST(:stepped_to AS bigint[]),
              CAST(:step_ats AS timestamptz[]), CAST(:graces AS timestamptz[]),
              CAST(:ats AS timestamptz[]), CAST(:problems AS text[]))
       AS n(id, status, stepped_to, step_at, grace, at, problem)
 WHERE p.account_id = n.id
""")


def save_steps(session: Session, plans: Sequence[AccountPlan]) -> None:
    """Write what renewal steps have changed in leased plans, in one statement."""
    session.execute(
        _SAVE_STEPS,
        {
            "ids": int_array(p.account_id for p in plans),
            "statuses": text_array(p.service_renewal_status for p in plans),
            "stepped_to": int_array(p.stepped_to for p in plans),
            "step_ats": time_array(p.next_step_at for p in plans),
            "graces": time_array(p.grace_ends_at for p in plans),
            "ats": time_array(p.updated_at for p in plans),
            "problems": text_array(p.step_problem for p in plans),
        },
    )


@dataclass(frozen=True, slots=True)
class Position:
    """Where a chunk of grants ended; the next one of the same run goes on after it."""

    next_grant_at: datetime
    account_id: int


class LeasedPlan(NamedTuple):
    """A plan whose next month has begun, and what its grant needs."""

    account_id: int
    plan_type: str
    next_grant_month: date
    next_grant_at: datetime
    grace_ends_at: datetime
    monthly_credits: int


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

# From the end of the run's last chunk on: the index still holds the entries that it has moved, and
# each chunk would walk through them again.
_DUE = """
SELECT account_id, plan_type, next_grant_month, next_grant_at, grace_ends_at, monthly_credits
  FROM account_plans
 WHERE next_grant_at <= :now AND (next_grant_at, account_id) > (:at, :account_id)
   AND (CAST(:through AS date) IS NULL OR next_grant_month <= :through)
 ORDER BY next_grant_at, account_id
"""
_EACH_DUE = text(f"SELECT p.*, a.timezone FROM ({_DUE}) p JOIN accounts a ON a.id = p.account_id")
_LEASE_DUE = text(f"{_DUE} LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED")
_COUNT_DUE = text("""
SELECT count(*) FROM account_plans
 WHERE next_grant_at <= :now
   AND (CAST(:through AS date) IS NULL OR next_grant_month <= :through)
""")


def lease_due_grants(
    session: Session, *, now: datetime, limit: int, behind: Position | None, through: date | None
) -> list[LeasedPlan]:
    """Lease up to `limit` plans whose next month has begun, and return them.

    `behind` is the end of the run's last chunk; `through` the last month to grant.
    """
    found = session.execute(
        _LEASE_DUE,
        {
            "now": now,
            "at": behind.next_grant_at if behind else _LONG_AGO,
            "account_id": behind.account_id if behind else 0,
            "through": through,
            "limit": limit,
        },
    )
    return [LeasedPlan(*row) for row in found.all()]


def each_due_grant(
    session: Session, *, now: datetime, through: date | None
) -> Iterator[tuple[LeasedPlan, str]]:
    """Yield the plans whose next month has begun, with their zones; locks nothing."""
    asked = {"now": now, "at": _LONG_AGO, "account_id": 0, "through": through}
    found = session.execute(_EACH_DUE, asked, execution_options={"yield_per": 1_000})
    for *plan, timezone in found:
        yield LeasedPlan(*plan), timezone


def count_due_grants(session: Session, *, now: datetime, through: date | None) -> int:
    """Return the number of plans whose next month has begun."""
    return session.scalar(_COUNT_DUE, {"now": now, "through": through}) or 0


_SAVE_NEXT_GRANTS = text("""
UPDATE account_plans p
   SET next_grant_month = n.month, next_grant_at = n.at, grant_problem = n.problem,
       updated_at = :now
  FROM unnest(CAST(:ids AS bigint[]), CAST(:months AS date[]), CAST(:ats AS timestamptz[]),
              CAST(:problems AS text[]))
       AS n(id, month, at, problem)
 WHERE p.account_id = n.id
""")


def save_next_grants(
    session: Session, moved: Sequence[tuple[int, date, datetime, str | None]], *, now: datetime
) -> None:
    """Set the next month of leased plans: (account id, month, when to look at it, why put off)."""
    session.execute(
        _SAVE_NEXT_GRANTS,
        {
            "now": now,
            "ids": int_array(account_id for account_id, _, _, _ in moved),
            "months": "{" + ",".join(month.isoformat() for _, month, _, _ in moved) + "}",
            "ats": "{" + ",".join(f'"{at.isoformat()}"' for _, _, at, _ in moved) + "}",
            "problems": text_array(problem for _, _, _, problem in moved),
        },
    )

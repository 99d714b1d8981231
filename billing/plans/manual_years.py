"""Years of plans that operators add by hand, because the money came another way.

`billing plans activate` and `billing plans renew`. The year is the same as one that a payment
brings (`billing/plans/paid_years.py`), under a key of the operator's.

Locks: the key, then the plan, then the account.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from sqlalchemy import text
from sqlalchemy.orm import Session

import clock
from billing import accounts, audit
from billing.credit import payment_keys
from billing.errors import IdempotencyConflict, InvalidReason, UnknownAccount
from billing.ledger import post
from billing.plans.errors import InvalidPlanYear, PlanRefused
from billing.plans.grants import granted_now
from billing.plans.offers import find_renewal, require_plan
from billing.plans.paid_years import NO_PLAN, NOT_SOLD, Year, add_year
from billing.plans.plan_locks import Owner, load_owners, lock_plans
from billing.plans.queries import find_term
from billing.text import DESCRIPTION_MAX_LENGTH, ID_MAX_LENGTH, problem_with, problem_with_identity
from db.models import Account, AccountPlan, PlanTerm

Kind = Literal["purchase", "renewal"]


@dataclass(frozen=True, slots=True)
class ManualYear:
    """A year that an operator reports as paid."""

    account: str
    reason: str
    actor: str
    key: str
    """The same key again adds nothing."""
    paid_at: datetime | None = None
    """When the money came; None: now."""


@dataclass(frozen=True, slots=True)
class AddedYear:
    """The year that was added, now or before under the same key."""

    account: str
    plan_type: str
    kind: str
    number: int
    paid_at: datetime
    starts_on: date
    ends_on: date
    credits: int
    """What was granted now; 0 if the year was added before."""
    repeated: bool


def activate(session: Session, year: ManualYear, *, plan: str) -> AddedYear:
    """Begin the plan of this name on an account that has none.

    Raises `UnknownAccount`, `PlanRefused`, `InvalidPlanYear`, `InvalidReason` or
    `IdempotencyConflict`. Posts.
    """
    return _add(session, year, "purchase", plan)


def renew(session: Session, year: ManualYear) -> AddedYear:
    """Add a year to an account's plan; raises and posts like `activate`."""
    return _add(session, year, "renewal", None)


# Two requests under one key wait for each other: a plan that is not there yet cannot be locked.
_LOCK_KEY = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")


def _add(session: Session, asked: ManualYear, kind: Kind, plan: str | None) -> AddedYear:
    _check(asked)
    account = accounts.find(session, asked.account)
    if account is None:
        raise UnknownAccount(asked.account)
    key = f"admin:{asked.key}"
    session.execute(_LOCK_KEY, {"key": key})
    plans = lock_plans(session, [account.id])
    term = find_term(session, key)
    if term is not None:
        _require_same(session, term, asked, account, kind, plan)
        return _added_year(session, asked, term, credits_=0, repeated=True)
    if kind == "purchase":
        name = plan or ""
        require_plan(account, name)
    else:
        name = _renewal_name(asked, plans.get(account.id))
    owner = load_owners(session, [account.id])[account.id]
    year = Year(name, asked.paid_at or clock.now(), key)
    credits_ = _add_and_grant(session, owner, year, plans, asked)
    term = find_term(session, key)
    assert term is not None  # written just now
    return _added_year(session, asked, term, credits_=credits_, repeated=False)


def _check(asked: ManualYear) -> None:
    problem = problem_with(asked.reason, max_length=DESCRIPTION_MAX_LENGTH)
    if problem:
        raise InvalidReason(problem)
    for field, value in (("actor", asked.actor), ("key", asked.key)):
        problem = problem_with_identity(value, max_length=ID_MAX_LENGTH)
        if problem:
            raise InvalidPlanYear(field, problem)
    if payment_keys.names_a_payment(asked.key):
        raise InvalidPlanYear("key", payment_keys.INSTEAD)
    if asked.paid_at is not None and asked.paid_at > clock.now():
        raise InvalidPlanYear("paid_at", "must not be in the future")


def _renewal_name(asked: ManualYear, plan: AccountPlan | None) -> str:
    """Return the catalog's name of a further year of a locked plan."""
    if plan is None:
        raise PlanRefused(asked.account, NO_PLAN)
    if asked.paid_at is not None and asked.paid_at < plan.purchased_at:
        raise InvalidPlanYear(
            "paid_at", f"must not be before the plan was bought, {plan.purchased_at.isoformat()}"
        )
    name = find_renewal(plan.plan_type)
    if name is None:
        raise PlanRefused(asked.account, NOT_SOLD)
    return name


def _add_and_grant(
    session: Session, owner: Owner, year: Year, plans: dict[int, AccountPlan], asked: ManualYear
) -> int:
    """Add the year, grant what it brings, and return the credits."""
    postings = add_year(session, owner, year, plans=plans, actor=asked.actor)
    results = post(session, postings) if postings else []
    after = {
        "plan": year.plan,
        "paid_at": year.paid_at.isoformat(),
        "key": year.request_key,
        "reason": asked.reason,
        "by": asked.actor,
    }
    audit.record(session, "plan.paid_by_hand", f"account:{owner.ref}", before=None, after=after)
    posted = zip(postings, results, strict=True)
    return sum(posting.amount for posting, result in posted if granted_now(result))


def _require_same(
    session: Session,
    term: PlanTerm,
    asked: ManualYear,
    account: Account,
    kind: Kind,
    plan: str | None,
) -> None:
    """Raise `IdempotencyConflict` if the key was used for a different year."""
    recorded_account = session.get_one(Account, term.account_id).ref
    fields: Mapping[str, tuple[object, object]] = {
        "account": (recorded_account, account.ref),
        "kind": (term.kind, kind),
        "plan": (session.get_one(AccountPlan, term.account_id).plan_type, plan),
        "paid_at": (term.paid_at, asked.paid_at),
    }
    differences = {
        field: (str(recorded), str(now))
        for field, (recorded, now) in fields.items()
        if now is not None and recorded != now  # None: left out this time
    }
    if differences:
        raise IdempotencyConflict(asked.key, differences)


def _added_year(
    session: Session, asked: ManualYear, term: PlanTerm, *, credits_: int, repeated: bool
) -> AddedYear:
    return AddedYear(
        account=asked.account,
        plan_type=session.get_one(AccountPlan, term.account_id).plan_type,
        kind=term.kind,
        number=term.number,
        paid_at=term.paid_at,
        starts_on=term.starts_on,
        ends_on=term.ends_on,
        credits=credits_,
        repeated=repeated,
    )

"""What an operator may do to a plan by hand: add a year whose money came another way.

`billing plans activate` and `billing plans renew`. The year is the same as one that a payment
brings (`billing/plans/terms.py::pay_year`), under a key of the operator's.

Locks: the key, then the plan, then the account.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from sqlalchemy import select, text
from sqlalchemy.orm import Session

import clock
from billing import accounts, audit, catalog
from billing.errors import IdempotencyConflict, InvalidReason, UnknownAccount
from billing.ledger import post
from billing.plans import grants
from billing.plans import rows as plan_rows
from billing.plans import terms as plans
from billing.plans.errors import InvalidPlanYear, PlanRefused
from billing.plans.rows import Owner
from billing.plans.terms import Year
from billing.text import DESCRIPTION_MAX_LENGTH, ID_MAX_LENGTH, problem_with
from db.models import Account, AccountPlan, PlanTerm

Kind = Literal["purchase", "renewal"]


@dataclass(frozen=True, slots=True)
class Wish:
    """A year that an operator says is paid."""

    account: str
    reason: str
    actor: str
    key: str
    """The same key again does nothing."""
    paid_at: datetime | None = None
    """When the money came; None: now."""


@dataclass(frozen=True, slots=True)
class Added:
    """The year that was added, now or under the same key before."""

    account: str
    plan_type: str
    kind: str
    number: int
    paid_at: datetime
    starts_on: date
    ends_on: date
    credits: int
    """What was granted now; 0 for one that was there."""
    repeated: bool


def activate(session: Session, wish: Wish, *, plan: str) -> Added:
    """Begin the plan of this name on an account that has none.

    Raises `UnknownAccount`, `PlanRefused`, `InvalidPlanYear`, `InvalidReason` or
    `IdempotencyConflict`. Posts.
    """
    return _add(session, wish, "purchase", plan)


def renew(session: Session, wish: Wish) -> Added:
    """Add a year to an account's plan; raises and posts as `activate`."""
    return _add(session, wish, "renewal", None)


# Two requests under one key take turns; a plan that is not there yet could not be locked.
_TAKE_TURNS = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")


def _add(session: Session, wish: Wish, kind: Kind, plan: str | None) -> Added:
    _check(wish)
    account = accounts.find(session, wish.account)
    if account is None:
        raise UnknownAccount(wish.account)
    key = f"admin:{wish.key}"
    session.execute(_TAKE_TURNS, {"key": key})
    held = plan_rows.lock_plans(session, [account.id])
    term = _term(session, key)
    if term is not None:
        _require_same(session, term, wish, account, kind, plan)
        return _added(session, wish, term, granted=0, repeated=True)
    if kind == "purchase":
        name = _sold(account, plan or "")
    else:
        name = _renewal(wish, held.get(account.id))
    owner = plan_rows.owners(session, [account.id])[account.id]
    granted = _pay(session, owner, Year(name, wish.paid_at or clock.now(), key), held, wish)
    term = _term(session, key)
    assert term is not None  # noqa: S101 - written just now
    return _added(session, wish, term, granted=granted, repeated=False)


def _check(wish: Wish) -> None:
    problem = problem_with(wish.reason, max_length=DESCRIPTION_MAX_LENGTH)
    if problem:
        raise InvalidReason(problem)
    for field, value in (("actor", wish.actor), ("key", wish.key)):
        problem = problem_with(value, max_length=ID_MAX_LENGTH)
        if problem:
            raise InvalidPlanYear(field, problem)
    if wish.paid_at is not None and wish.paid_at > clock.now():
        raise InvalidPlanYear("paid_at", "must not be in the future")


def _sold(account: Account, name: str) -> str:
    """Return the name of a plan that this account can buy."""
    offered = catalog.get().plans
    mine = [n for n, plan in offered.items() if plan.product == account.product]
    if name in mine and offered[name].renews is None:
        return name
    if name in mine:
        raise InvalidPlanYear("plan", f"{name} is a further year: `billing plans renew` adds it")
    names = ", ".join(n for n in mine if offered[n].renews is None)
    raise InvalidPlanYear(
        "plan",
        f"must be one of {names}" if names else f"{account.product} has no plans in the catalog",
    )


def _renewal(wish: Wish, plan: AccountPlan | None) -> str:
    """Return what adds a year to a locked plan."""
    if plan is None:
        raise PlanRefused(wish.account, plans.NO_PLAN)
    if wish.paid_at is not None and wish.paid_at < plan.purchased_at:
        raise InvalidPlanYear(
            "paid_at", f"must not be before the plan was bought, {plan.purchased_at.isoformat()}"
        )
    name = plans.renewal_of(plan.plan_type)
    if name is None:
        raise PlanRefused(wish.account, plans.NOT_SOLD)
    return name


def _pay(
    session: Session, owner: Owner, year: Year, held: dict[int, AccountPlan], wish: Wish
) -> int:
    """Add the year, grant what it brings, and return the credits."""
    postings = plans.pay_year(session, owner, year, plans=held, actor=wish.actor)
    results = post(session, postings) if postings else []
    audit.record(
        session, "plan.paid_by_hand", f"account:{owner.ref}", before=None,
        after={
            "plan": year.plan, "paid_at": year.paid_at.isoformat(), "key": year.request_key,
            "reason": wish.reason, "by": wish.actor,
        },
    )  # fmt: skip
    granted = zip(postings, results, strict=True)
    return sum(posted.amount for posted, result in granted if grants.granted_now(result))


def _term(session: Session, key: str) -> PlanTerm | None:
    return session.scalars(select(PlanTerm).where(PlanTerm.request_key == key)).one_or_none()


def _require_same(
    session: Session, term: PlanTerm, wish: Wish, account: Account, kind: Kind, plan: str | None
) -> None:
    """Raise `IdempotencyConflict` where a key was used for another year than is asked for."""
    was = session.get_one(Account, term.account_id).ref
    asked: Mapping[str, tuple[object, object]] = {
        "account": (was, account.ref),
        "kind": (term.kind, kind),
        "plan": (session.get_one(AccountPlan, term.account_id).plan_type, plan),
        "paid_at": (term.paid_at, wish.paid_at),
    }
    # What was left out is not at odds with anything.
    differ = {f: pair for f, pair in asked.items() if pair[1] is not None and pair[0] != pair[1]}
    if differ:
        told = {field: (str(before), str(now)) for field, (before, now) in differ.items()}
        raise IdempotencyConflict(wish.key, told)


def _added(session: Session, wish: Wish, term: PlanTerm, *, granted: int, repeated: bool) -> Added:
    plan = session.get_one(AccountPlan, term.account_id)
    return Added(
        wish.account, plan.plan_type, term.kind, term.number, term.paid_at, term.starts_on,
        term.ends_on, granted, repeated,
    )  # fmt: skip

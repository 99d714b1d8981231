"""Entitlements: what an account may do by the state of its plan, why, and until when.

Which states have what is the catalog's (`[entitlements]`, `[banners]`). Nothing is stored: the
answer follows from the plan's due date and the clock. Asked by `api/plans.py` and `cli/plans.py`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from sqlalchemy.orm import Session

import clock
from billing import catalog
from billing.catalog import PlanState
from billing.money import rupees
from billing.plans import schedule as plan_status
from billing.plans import terms as plans
from billing.plans.schedule import Status, later_than
from billing.plans.standing import Standing, standing_of
from db.models import Account

NO_PLAN: PlanState = "none"
NOT_SOLD = "a price to be agreed"
"""What a banner says of the price of a renewal that the catalog has no more."""

_EVERY_STATE = frozenset(get_args(PlanState))
_WITH_A_PLAN = _EVERY_STATE - {NO_PLAN}


@dataclass(frozen=True, slots=True)
class Entitlement:
    """Whether an account has something now."""

    allowed: bool
    why: str
    """For a person."""
    until: datetime | None
    """When it would end if nobody pays; None: never, or it is not allowed."""


@dataclass(frozen=True, slots=True)
class Banner:
    """What the platform shows the customer."""

    level: Literal["info", "warning", "critical"]
    text: str


@dataclass(frozen=True, slots=True)
class Entitled:
    """All that an account may and may not do now."""

    account: str
    service_renewal_status: PlanState
    entitlements: dict[str, Entitlement]
    banner: Banner | None


def of_account(session: Session, account: Account) -> Entitled:
    """Return what an account may do now, each entitlement of the catalog by its name."""
    account, plan = plans.with_account(session, account.id)
    if plan is None:
        return Entitled(account.ref, NO_PLAN, decide(None), banner(account.product, None, None))
    standing = standing_of(plan, account.timezone, clock.now())
    return Entitled(
        account.ref,
        standing.status.value,
        decide(standing),
        banner(account.product, plan.plan_type, standing),
    )


def decide(standing: Standing | None) -> dict[str, Entitlement]:
    """Return each entitlement of the catalog; `standing` None: no plan was ever bought."""
    return {
        name: _decide(frozenset(states), standing)
        for name, states in catalog.get().entitlements.items()
    }


def banner(product: str, plan_type: str | None, standing: Standing | None) -> Banner | None:
    """Return what is shown in a state, filled in; None: the catalog has nothing for it."""
    known = catalog.get()
    found = known.banners.get(standing.status.value if standing else NO_PLAN)
    if found is None:
        return None
    told = {"plan": known.products[product].name if product in known.products else product}
    if standing is not None and plan_type is not None:
        renewal = plans.renewal_of(plan_type)
        told |= {
            "due_on": standing.due_on.isoformat(),
            "days_left": str(standing.days_left),
            "grace_ends_on": standing.grace_ends_on.isoformat(),
            "renewal_price": rupees(known.plans[renewal].price_paise) if renewal else NOT_SOLD,
        }
    return Banner(found.level, found.text.format(**told))


def _decide(states: frozenset[PlanState], standing: Standing | None) -> Entitlement:
    state = standing.status.value if standing else NO_PLAN
    if state not in states:
        return Entitlement(allowed=False, why=_why_not(states, standing), until=None)
    until = _until(states, standing) if standing else None
    return Entitlement(allowed=True, why=_why(states, standing, until), until=until)


def _until(states: frozenset[PlanState], standing: Standing) -> datetime | None:
    lacking = (status for status in later_than(standing.status) if status.value not in states)
    ends = (plan_status.begins(status, standing.due_on, standing.timezone) for status in lacking)
    return next((end for end in ends if end is not None), None)


def _why(states: frozenset[PlanState], standing: Standing | None, until: datetime | None) -> str:
    if states >= _EVERY_STATE:
        return "always included: it needs no plan"
    if standing is None:
        return "included without a plan"
    return _why_with_plan(states, standing, until)


def _why_with_plan(states: frozenset[PlanState], standing: Standing, until: datetime | None) -> str:
    if states >= _WITH_A_PLAN:
        return "included since the plan was bought, renewed or not"
    is_due = f"the plan {_is_or_was(standing)} due on {standing.due_on}"
    if until is None:  # every later state has it too
        return f"included although {is_due}"
    if until < standing.due_at:
        return "included while the plan is active"
    if until == standing.due_at:
        return f"included while the plan is paid, which is due on {standing.due_on}"
    return f"{is_due}: included until its grace ends on {standing.grace_ends_on}"


def _why_not(states: frozenset[PlanState], standing: Standing | None) -> str:
    if standing is None:
        return "this account has never bought a plan"
    if Status.ACTIVE.value not in states:  # paying would not bring it
        return f"not included while the plan is {standing.status.value.replace('_', ' ')}"
    told = f"the plan {_is_or_was(standing)} due on {standing.due_on}"
    if standing.status is Status.DEGRADED:
        told += f" and its grace ended on {standing.grace_ends_on}"
    return f"{told}: renew to have it again"


def _is_or_was(standing: Standing) -> str:
    return "is" if standing.status in {Status.ACTIVE, Status.DUE_SOON} else "was"

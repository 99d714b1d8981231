"""Entitlements: what an account may do by the state of its plan, why, and until when.

The catalog says which states have what (`[entitlements]`, `[banners]`). Nothing is stored: the
answer follows from the plan's due date and the clock. Used by `api/plans.py` and `cli/plans.py`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from sqlalchemy.orm import Session

import clock
from billing import catalog
from billing.catalog import PlanState
from billing.money import rupees
from billing.plans.offers import find_renewal
from billing.plans.queries import account_with_plan
from billing.plans.schedule import RenewalStatus, status_start, statuses_after
from billing.plans.standing import Standing, standing_of
from db.models import Account

NO_PLAN: PlanState = "none"
NO_PRICE = "price on request"
"""The price in a banner if the catalog no longer has the plan's renewal."""

_EVERY_STATE = frozenset(get_args(PlanState))
_WITH_A_PLAN = _EVERY_STATE - {NO_PLAN}


@dataclass(frozen=True, slots=True)
class Entitlement:
    """Whether an account has something now."""

    allowed: bool
    why: str
    """For a person."""
    until: datetime | None
    """When it ends if nobody pays; None: never, or it is not allowed."""


@dataclass(frozen=True, slots=True)
class Banner:
    """What the platform shows the customer."""

    level: Literal["info", "warning", "critical"]
    text: str


@dataclass(frozen=True, slots=True)
class Entitlements:
    """All that an account may and may not do now."""

    account: str
    service_renewal_status: PlanState
    entitlements: dict[str, Entitlement]
    banner: Banner | None


def get_entitlements(session: Session, account: Account) -> Entitlements:
    """Return what an account may do now, read anew; each entitlement of the catalog by its name."""
    account, plan = account_with_plan(session, account.id)
    standing = standing_of(plan, account.timezone, clock.now()) if plan else None
    return Entitlements(
        account=account.ref,
        service_renewal_status=standing.status.value if standing else NO_PLAN,
        entitlements=decide(standing),
        banner=fill_banner(account.product, plan.plan_type if plan else None, standing),
    )


def decide(standing: Standing | None) -> dict[str, Entitlement]:
    """Return each entitlement of the catalog; `standing` None: no plan was ever bought. Pure."""
    return {
        name: _decide(frozenset(states), standing)
        for name, states in catalog.get().entitlements.items()
    }


def fill_banner(product: str, plan_type: str | None, standing: Standing | None) -> Banner | None:
    """Return the filled-in banner of a state; None: the catalog has none for it. Pure."""
    known = catalog.get()
    found = known.banners.get(standing.status.value if standing else NO_PLAN)
    if found is None:
        return None
    fields = {"plan": known.products[product].name if product in known.products else product}
    if standing is not None and plan_type is not None:
        renewal = find_renewal(plan_type)
        fields |= {
            "due_on": standing.due_on.isoformat(),
            "days_left": str(standing.days_left),
            "grace_ends_on": standing.grace_ends_on.isoformat(),
            "renewal_price": rupees(known.plans[renewal].price_paise) if renewal else NO_PRICE,
        }
    return Banner(found.level, found.text.format(**fields))


def _decide(states: frozenset[PlanState], standing: Standing | None) -> Entitlement:
    state = standing.status.value if standing else NO_PLAN
    if state not in states:
        return Entitlement(allowed=False, why=_why_not(states, standing), until=None)
    until = _until(states, standing) if standing else None
    return Entitlement(allowed=True, why=_why(states, standing, until), until=until)


def _until(states: frozenset[PlanState], standing: Standing) -> datetime | None:
    """Return the start of the first later status that lacks the entitlement."""
    lacking = (s for s in statuses_after(standing.status) if s.value not in states)
    starts = (status_start(status, standing.due_on, standing.timezone) for status in lacking)
    return next((start for start in starts if start is not None), None)


def _why(states: frozenset[PlanState], standing: Standing | None, until: datetime | None) -> str:
    if states >= _EVERY_STATE:
        return "always included: it needs no plan"
    if standing is None:
        return "included without a plan"
    return _why_with_plan(states, standing, until)


def _why_with_plan(states: frozenset[PlanState], standing: Standing, until: datetime | None) -> str:
    if states >= _WITH_A_PLAN:
        return "included since the plan was bought, renewed or not"
    if until is None:  # every later status has it too
        return f"{_due(standing)}: included even if it is not renewed"
    if until < standing.due_at:
        return "included while the plan is active"
    if until == standing.due_at:
        return f"included while the plan is paid: it is due on {standing.due_on}"
    return f"{_due(standing)}: included until its grace ends on {standing.grace_ends_on}"


def _why_not(states: frozenset[PlanState], standing: Standing | None) -> str:
    if standing is None:
        return "this account has never bought a plan"
    if RenewalStatus.ACTIVE.value not in states:  # a payment would not bring it
        return f"not included while the plan is {standing.status.value.replace('_', ' ')}"
    ended = ""
    if standing.status is RenewalStatus.DEGRADED:
        ended = f" and its grace ended on {standing.grace_ends_on}"
    return f"{_due(standing)}{ended}: renew to have it again"


def _due(standing: Standing) -> str:
    ahead = standing.status in {RenewalStatus.ACTIVE, RenewalStatus.DUE_SOON}
    return f"the plan {'is' if ahead else 'was'} due on {standing.due_on}"

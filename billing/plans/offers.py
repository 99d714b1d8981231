"""What the catalog offers an account: plans, their renewals, and what each brings.

Used by `billing/payments/orders.py` before an order is made, and by whatever adds a year.
"""

from sqlalchemy.orm import Session

from billing import catalog
from billing.catalog import Plan
from billing.plans.errors import InvalidOrder, InvalidPlanYear
from db.models import Account, AccountPlan


def require_sold(session: Session, account: Account, name: str) -> None:
    """Raise `InvalidOrder` if an account cannot buy this plan, or cannot renew it."""
    sold = catalog.get().plans[name]
    plan = session.get(AccountPlan, account.id)
    if sold.renews is None and plan is not None:
        renewal = find_renewal(plan.plan_type)
        todo = f": order {renewal} for a further year" if renewal else ""
        raise InvalidOrder("plan", f"{account.ref} already has the plan {plan.plan_type}{todo}")
    if sold.renews is not None and (plan is None or plan.plan_type != sold.renews):
        raise InvalidOrder("plan", f"{account.ref} has no plan to renew: order {sold.renews} first")


def require_plan(account: Account, name: str) -> None:
    """Raise `InvalidPlanYear` unless the catalog has a plan of this name for the account."""
    offered = catalog.get().plans
    mine = [n for n, plan in offered.items() if plan.product == account.product]
    if name in mine and offered[name].renews is None:
        return
    if name in mine:
        raise InvalidPlanYear("plan", f"{name} is a further year: `billing plans renew` adds it")
    names = ", ".join(n for n in mine if offered[n].renews is None)
    raise InvalidPlanYear(
        "plan",
        f"must be one of {names}" if names else f"{account.product} has no plans in the catalog",
    )


def find_renewal(plan_type: str) -> str | None:
    """Return the name under which a further year of a plan is ordered; None: no longer sold."""
    offered = catalog.get().plans.items()
    return next((name for name, sold in offered if sold.renews == plan_type), None)


def sold_fields(sold: Plan) -> dict[str, object]:
    """Return what a plan of the catalog brings, by the columns of `account_plans`."""
    return {
        "branches": sold.branches,
        "features": sold.features,
        "monthly_credits": sold.monthly_credits or 0,
    }

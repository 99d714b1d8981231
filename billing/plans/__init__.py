"""Plans: years that were paid, monthly grants, renewal enforcement, entitlements."""

from billing.plans import enforcement, entitlements, grants, manual_years, overview, refunded_plans
from billing.plans.calendar import UNRECKONABLE, month_named, name_of
from billing.plans.errors import InvalidOrder, InvalidPlanYear, PlanRefused
from billing.plans.rows import Owner, lock_plans, owners
from billing.plans.schedule import Status
from billing.plans.terms import move_to_zone, pay_order, require_sold, terms_of

__all__ = [
    "InvalidOrder",
    "InvalidPlanYear",
    "Owner",
    "PlanRefused",
    "Status",
    "UNRECKONABLE",
    "enforcement",
    "entitlements",
    "grants",
    "lock_plans",
    "manual_years",
    "month_named",
    "move_to_zone",
    "name_of",
    "overview",
    "owners",
    "pay_order",
    "refunded_plans",
    "require_sold",
    "terms_of",
]

"""Plans: paid years, monthly grants, renewal enforcement, entitlements.

Modules: `enforcement` and `grants` for the tasks on beat, `entitlements` and `overview` for what a
plan brings now, `manual_years` for operators, `refunded_plans` for clawbacks.
"""

from billing.plans import enforcement, entitlements, grants, manual_years, overview, refunded_plans
from billing.plans.calendar import CALENDAR_ERRORS, month_name, parse_month
from billing.plans.errors import InvalidOrder, PlanRefused
from billing.plans.offers import require_sold
from billing.plans.paid_years import add_attached_year, add_ordered_year
from billing.plans.plan_locks import Owner, load_owners, lock_plans
from billing.plans.queries import list_terms
from billing.plans.schedule import RenewalStatus
from billing.plans.zone_change import move_to_zone

__all__ = [
    "CALENDAR_ERRORS",
    "InvalidOrder",
    "Owner",
    "PlanRefused",
    "RenewalStatus",
    "add_attached_year",
    "add_ordered_year",
    "enforcement",
    "entitlements",
    "grants",
    "list_terms",
    "load_owners",
    "lock_plans",
    "manual_years",
    "month_name",
    "move_to_zone",
    "overview",
    "parse_month",
    "refunded_plans",
    "require_sold",
]

"""`ledger verify` finds what direct SQL did to plans, their years and their months."""

import pytest

import clock
from billing import catalog, verification
from db.session import snapshot
from tests.billing.given import assert_ledger_is_clean
from tests.billing.plans import given as planning
from tests.billing.plans.given import PLAN, RENEWAL, at
from tests.tampering import tamper

YEARS = "a plan is paid up to the end of its last year, and each year is one row"
ORDERS = "each paid order for a plan has added its year"
MONTHS = "each month of a plan before its next was granted or withheld, and no later one"

INSTANTS = "a plan that is not degraded has a next step, and its next month is near its beginning"


@pytest.fixture(autouse=True)
def books(database: str) -> None:
    """A plan of a 29 February that was renewed late, with months granted and withheld."""
    with clock.frozen(at("2028-02-29T10:00")):
        planning.open_pharmacy()
        planning.buy(PLAN)
    with clock.frozen(at("2029-03-01T10:00")):
        planning.tick()
    with clock.frozen(at("2029-05-10T10:00")):
        planning.tick()
        planning.buy(RENEWAL, 2)
    with clock.frozen(at("2029-06-05T10:00")):
        planning.tick()
    assert_ledger_is_clean()


@pytest.mark.parametrize(
    ("statement", "invariants"),
    [
        ("UPDATE account_plans SET years = 2", {YEARS}),
        ("UPDATE account_plans SET anchor_on = anchor_on + 1", {YEARS}),
        ("DELETE FROM plan_terms WHERE number = 2", {YEARS}),
        ("DELETE FROM account_plans", {YEARS}),
        ("UPDATE plan_terms SET kind = 'renewal'", {YEARS}),
        ("UPDATE billing_orders SET plan_applied_at = NULL WHERE plan = 'plan_renewal'", {ORDERS}),
        ("UPDATE account_plans SET next_grant_month = '2029-06-01'", {MONTHS, INSTANTS}),
        ("UPDATE account_plans SET next_grant_month = '2029-08-01'", {MONTHS, INSTANTS}),
        ("DELETE FROM billing_audit_log WHERE action = 'grant.withheld'", {MONTHS}),
        ("UPDATE account_plans SET next_step_at = NULL", {INSTANTS}),
        ("UPDATE account_plans SET next_grant_at = '2030-01-01Z'", {INSTANTS}),
        ("UPDATE account_plans SET next_grant_at = '2029-06-01Z'", {INSTANTS}),
    ],
)
def test_plans_at_odds_with_the_books_are_found(statement: str, invariants: set[str]) -> None:
    tamper(statement)

    with snapshot() as session:
        found = {breach.invariant for breach in verification.verify(session).breaches}

    assert found == invariants


def test_a_plan_that_is_sold_without_monthly_credit_from_a_renewal_on_is_no_breach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = catalog.get()
    bare = {PLAN: known.plans[PLAN].model_copy(update={"monthly_credits": 0})}
    plans = known.model_copy(update={"plans": {**known.plans, **bare}})
    monkeypatch.setattr(catalog, "get", lambda: plans)
    with clock.frozen(at("2029-06-06T10:00")):
        planning.buy(RENEWAL, 3)

    with clock.frozen(at("2029-09-05T10:00")):
        planning.tick()

    assert "2029-07" not in planning.months()
    assert_ledger_is_clean()

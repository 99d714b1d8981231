"""`/v1/accounts/{ref}/entitlements` and `/status` over HTTP."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

import clock
from billing.access import keys as api_keys
from billing.plans.calendar import years_after
from db.roles import Role
from db.session import transaction
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY
from tests.billing.given import open_account
from tests.billing.plans import given as planning
from tests.billing.plans.given import PLAN

pytestmark = pytest.mark.usefixtures("house")

ENTITLEMENTS = {
    "core_features", "spend_credits", "monthly_grant", "updates", "priority_support",
    "new_branches",
}  # fmt: skip


def ask(api: ApiProcess, account: str, what: str) -> dict[str, Any]:
    answer = api.ask(f"/v1/accounts/{quote(account)}/{what}", HOUSE_KEY)
    assert answer.status == 200, answer.body
    shown: dict[str, Any] = answer.json
    assert shown["account"] == account
    return shown


def pharmacy(number: int, *, days_ago: int = 0) -> str:
    """An account that has bought the plan so many days ago."""
    ref = f"pharmacy:{number}"
    with clock.frozen(clock.now() - timedelta(days=days_ago)):
        planning.open_pharmacy(ref)
        planning.buy(PLAN, 1, ref)
    return ref


def allowed(message: dict[str, Any]) -> set[str]:
    assert message["entitlements"].keys() == ENTITLEMENTS
    for one in message["entitlements"].values():
        assert one.keys() == {"allowed", "why", "until"}
        assert one["why"]
    return {name for name, one in message["entitlements"].items() if one["allowed"]}


def test_a_paid_plan_has_everything_and_says_until_when(api: ApiProcess, number: int) -> None:
    account = pharmacy(number)

    shown = ask(api, account, "entitlements")

    assert (shown["service_renewal_status"], shown["banner"]) == ("active", None)
    assert allowed(shown) == ENTITLEMENTS
    renewal = ask(api, account, "status")["renewal"]
    assert shown["entitlements"]["updates"]["until"] == renewal["grace_ends_at"]
    assert shown["entitlements"]["new_branches"]["until"] == renewal["service_renewal_next_due"]
    assert shown["entitlements"]["core_features"]["until"] is None


@pytest.mark.parametrize(
    ("days_ago", "state", "level", "missing"),
    [
        (340, "due_soon", "info", set()),
        (370, "past_due", "warning", {"priority_support", "new_branches"}),
        (
            390, "degraded", "critical",
            {"priority_support", "new_branches", "updates", "monthly_grant"},
        ),
    ],
)  # fmt: skip
def test_a_state_holds_though_no_tick_came(
    api: ApiProcess, number: int, days_ago: int, state: str, level: str, missing: set[str]
) -> None:
    account = pharmacy(number, days_ago=days_ago)

    shown = ask(api, account, "entitlements")

    assert shown["service_renewal_status"] == state
    assert allowed(shown) == ENTITLEMENTS - missing
    assert shown["banner"]["level"] == level
    assert "₹1,000" in shown["banner"]["text"]
    assert ask(api, account, "status")["banner"] == shown["banner"]


def test_an_account_without_a_plan_can_spend(api: ApiProcess, number: int) -> None:
    account = open_account(f"clinic:{number}", credits_=10)

    shown = ask(api, account, "entitlements")
    assert (shown["service_renewal_status"], allowed(shown)) == ("none", {"spend_credits"})
    assert ask(api, account, "status") == {
        "account": account, "plan": None, "balance": 10, "held": 0, "available": 10,
        "overdraft_limit": 0, "renewal": None, "next_grant": None, "banner": None,
        "alert_level": "low",
    }  # fmt: skip


def test_the_status_holds_plan_credit_renewal_and_next_grant(api: ApiProcess, number: int) -> None:
    account = pharmacy(number)

    shown = ask(api, account, "status")

    row = planning.plan(account)
    assert shown.pop("plan") == {
        "plan_type": PLAN, "purchased_at": told_as(row.purchased_at), "branches": 1,
        "features": ["all_features", "priority_support"],
    }  # fmt: skip
    renewal = shown.pop("renewal")
    assert renewal.pop("days_left") in {365, 366}
    assert renewal == {
        "service_renewal_status": "active",
        "service_renewal_next_due": told_as(row.service_renewal_next_due),
        "due_on": years_after(row.anchor_on, 1).isoformat(),
        "grace_ends_at": told_as(row.grace_ends_at),
    }
    assert shown.pop("next_grant") == {
        "month": row.next_grant_month.strftime("%Y-%m"), "at": told_as(row.next_grant_at),
        "credits": 50_000,
    }  # fmt: skip
    assert shown == {
        "account": account, "balance": 50_000, "held": 0, "available": 50_000,
        "overdraft_limit": 0, "banner": None, "alert_level": "ok",
    }  # fmt: skip


def test_a_degraded_plan_is_promised_no_month(api: ApiProcess, number: int) -> None:
    assert ask(api, pharmacy(number, days_ago=500), "status")["next_grant"] is None


@pytest.mark.parametrize("what", ["entitlements", "status"])
def test_what_is_out_of_reach_is_not_known(api: ApiProcess, number: int, what: str) -> None:
    account = pharmacy(number)
    with transaction(Role.OWNER) as session:
        clinics = api_keys.create(
            session, name=f"clinics-{number}", product="clinic_leads", scopes=["accounts:read"]
        )
        own = api_keys.create(
            session, name=f"own-{number}", account=account, scopes=["accounts:read"]
        )
        other_scope = api_keys.create(
            session, name=f"leads-{number}", product="pharmapulse_one", scopes=["leads:read"]
        )

    path = f"/v1/accounts/{account}/{what}"
    unknown = problem(api.ask(f"/v1/accounts/pharmacy:nobody/{what}", HOUSE_KEY))
    assert unknown["type"] == "urn:problem-type:billing:unknown-account"
    assert problem(api.ask(path, clinics)) | {"request_id": unknown["request_id"]} == unknown
    assert api.ask(path, own).status == 200
    assert api.ask(path, other_scope).status == 403


def told_as(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")

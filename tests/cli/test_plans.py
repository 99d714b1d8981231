"""`billing plans show|list|activate|renew`, and `accounts set --timezone`."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import structlog

import clock
from billing.plans import manual_years as plan_admin
from billing.plans.manual_years import ManualYear
from db.session import transaction
from tests.billing.given import assert_ledger_is_clean, at_once, balance, rows
from tests.billing.plans import given as planning
from tests.billing.plans.given import MONTHLY, PHARMACY, PLAN, RENEWAL, at
from tests.cli.runner import Ran, open_clinic, run, run_on_terminal
from tests.conftest import owner

pytestmark = pytest.mark.usefixtures("database")

NOW = at("2026-11-21T10:00")
BY_HAND = ("--reason", "transfer 4711", "--actor", "ops")


@pytest.fixture(autouse=True)
def frozen(database: str) -> Iterator[None]:
    with clock.frozen(NOW):
        planning.open_pharmacy()
        yield
    structlog.reset_defaults()  # the command silences what a nudge would log


def by_hand(what: str, *more: str, ref: str = PHARMACY) -> Ran:
    return run("plans", what, ref, *BY_HAND, "--json", *more)


def activate(*more: str, ref: str = PHARMACY) -> Ran:
    return by_hand("activate", "--plan", PLAN, *more, ref=ref)


def begin(*more: str) -> None:
    assert activate(*more).exit_code == 0


def terms() -> list[tuple[object, ...]]:
    return list(rows("SELECT number, kind, request_key, actor FROM plan_terms ORDER BY id"))


def test_show_tells_status_entitlements_and_years() -> None:
    planning.buy(PLAN)

    shown = run("plans", "show", PHARMACY, "--json").json

    assert shown["service_renewal_status"] == "active"
    assert shown["plan"] == {
        "plan_type": PLAN, "purchased_at": "2026-11-21T10:00:00+00:00", "branches": 1,
        "features": ["all_features", "priority_support"],
    }  # fmt: skip
    assert shown["renewal"]["due_on"] == "2027-11-21"
    assert shown["next_grant"] == {
        "month": "2026-12", "at": "2026-11-30T18:30:00+00:00", "credits": MONTHLY,
    }  # fmt: skip
    assert shown["entitlements"]["updates"] == {
        "allowed": True,
        "why": "the plan is due on 2027-11-21: included until its grace ends on 2027-12-06",
        "until": "2027-12-05T18:30:00+00:00",
    }  # fmt: skip
    [year] = shown["terms"]
    assert (year["kind"], year["starts_on"], year["ends_on"]) == (
        "purchase", "2026-11-21", "2027-11-21",
    )  # fmt: skip
    assert year["paid_by"] == f"razorpay:pay_order_{PHARMACY}_1:plan"


def test_show_is_read_by_people_too() -> None:
    planning.buy(PLAN)
    with clock.frozen(at("2027-12-24T10:00")):
        shown = run_on_terminal("plans", "show", PHARMACY)

    assert shown.exit_code == 0
    for part in (
        "degraded", "2027-11-21", "50,000", "critical: PharmaPulse One has not been renewed",
        "priority_support", "renew to have it again", "purchase",
    ):  # fmt: skip
        assert part in shown.out


@pytest.mark.parametrize("command", [("show", PHARMACY), ("renew", PHARMACY, *BY_HAND)])
def test_a_plan_in_a_zone_that_this_host_does_not_know_says_what_to_do(
    command: tuple[str, ...],
) -> None:
    planning.buy(PLAN)
    with owner() as connection:
        connection.exec_driver_sql("UPDATE accounts SET timezone = 'Mars/Olympus'")

    shown = run("plans", *command).error

    assert shown == (
        "No time zone found with key Mars/Olympus: set another one with"
        " `billing accounts set REF --timezone`"
    )


def test_an_account_without_a_plan_is_shown_as_such() -> None:
    shown = run("plans", "show", PHARMACY, "--json").json

    assert (shown["service_renewal_status"], shown["plan"], shown["terms"]) == ("none", None, [])
    assert "No year was paid." in run_on_terminal("plans", "show", PHARMACY).out
    assert "unknown account" in run("plans", "show", "pharmacy:9", "--json").error


def test_plans_are_listed_by_the_day_they_are_due() -> None:
    planning.buy(PLAN)
    with clock.frozen(NOW + timedelta(days=20)):
        planning.open_pharmacy("pharmacy:8")
        planning.buy(PLAN, 1, "pharmacy:8")

    with clock.frozen(at("2027-11-25T10:00")):
        found = run("plans", "list", "--json").json
        degraded = run_on_terminal("plans", "list", "--state", "degraded")
        past_due = run("plans", "list", "--state", "past_due", "--limit", "5", "--json").json

    assert [(one["account"], one["service_renewal_status"]) for one in found] == [
        (PHARMACY, "past_due"), ("pharmacy:8", "due_soon"),
    ]  # fmt: skip
    assert past_due == found[:1]
    assert "No plans match." in degraded.out
    assert run("plans", "list", "--state", "none").exit_code == 2


def test_a_plan_paid_by_transfer_begins_and_brings_its_month() -> None:
    shown = activate("--key", "transfer-4711").json

    assert shown == {
        "account": PHARMACY, "plan_type": PLAN, "kind": "purchase", "number": 1,
        "paid_at": "2026-11-21T10:00:00+00:00", "starts_on": "2026-11-21",
        "ends_on": "2027-11-21", "credits": MONTHLY, "repeated": False, "key": "transfer-4711",
    }  # fmt: skip
    assert (balance(PHARMACY), planning.months()) == (MONTHLY, ["2026-11"])
    assert terms() == [(1, "purchase", "admin:transfer-4711", "ops")]
    [entry] = run("audit-log", "--subject", f"account:{PHARMACY}", "--json").json[:1]
    assert entry["action"] == "plan.paid_by_hand"
    assert entry["after"] == {
        "plan": PLAN, "paid_at": "2026-11-21T10:00:00+00:00", "key": "admin:transfer-4711",
        "reason": "transfer 4711", "by": "ops",
    }  # fmt: skip
    assert_ledger_is_clean()


def test_a_year_paid_by_transfer_is_one_year_however_often_it_is_entered() -> None:
    begin("--key", "one")
    first = by_hand("renew", "--key", "two").json

    again = by_hand("renew", "--key", "two").json

    assert (first["number"], first["ends_on"], first["repeated"]) == (2, "2028-11-21", False)
    assert again == {**first, "repeated": True}
    assert activate("--key", "one").json["repeated"] is True
    assert len(terms()) == 2
    assert by_hand("renew").json["number"] == 3  # without a key, each is a year


def test_a_transfer_counts_from_when_it_came() -> None:
    begin("--paid-at", "2026-11-01T09:00+05:30")
    with clock.frozen(at("2028-01-10T10:00")):  # entered late: it came on the last day of grace
        planning.tick()
        shown = by_hand("renew", "--paid-at", "2027-11-15T12:00+05:30").json

    assert (shown["starts_on"], shown["ends_on"]) == ("2027-11-01", "2028-11-01")
    planning_plan = planning.plan()
    assert planning_plan.purchased_at == at("2026-11-01T03:30")
    assert planning_plan.service_renewal_status == "active"


def test_the_same_key_for_something_else_is_refused() -> None:
    planning.open_pharmacy("pharmacy:8")
    begin("--key", "one")

    assert "account was 'pharmacy:7' and is now 'pharmacy:8'" in (
        activate("--key", "one", ref="pharmacy:8").error
    )
    assert "kind was 'purchase' and is now 'renewal'" in by_hand("renew", "--key", "one").error
    assert "paid_at was" in activate("--key", "one", "--paid-at", "2026-11-01T00:00Z").error
    assert len(terms()) == 1


def test_what_the_account_cannot_have_is_one_line_that_says_what_to_do() -> None:
    assert "no plan to renew: `billing plans activate pharmacy:7 --plan" in by_hand("renew").error
    begin()
    assert "bought already: `billing plans renew pharmacy:7`" in activate().error
    open_clinic()
    assert "clinic_leads has no plans" in activate(ref="clinic:42").error
    assert "unknown account" in activate(ref="pharmacy:9").error
    assert len(terms()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--plan", "gold"], "plan must be one of pharmapulse_one"),
        (["--plan", RENEWAL], "is a further year: `billing plans renew` adds it"),
        (["--plan", PLAN, "--paid-at", "2026-11-21T10:00:01Z"], "paid_at must not be in the fut"),
        (["--plan", PLAN, "--key", ""], "key must not be empty"),
        (["--plan", PLAN, "--reason", " "], "reason must not be empty"),
        (["--plan", PLAN, "--actor", "\u202eops"], "actor must not hold"),
    ],
)
def test_what_makes_no_sense_is_refused_by_field(options: list[str], message: str) -> None:
    assert message in by_hand("activate", *options).error
    assert terms() == []


def test_a_renewal_cannot_be_older_than_its_plan() -> None:
    begin()

    refused = by_hand("renew", "--paid-at", "2026-11-21T09:59Z")

    assert "must not be before the plan was bought" in refused.error


def test_one_key_at_the_same_moment_is_one_year() -> None:
    wish = ManualYear(PHARMACY, "transfer 4711", "ops", "one")

    def add() -> bool:
        with transaction() as session:
            return plan_admin.activate(session, wish, plan=PLAN).repeated

    assert sorted(map(str, at_once(add, add))) == ["False", "True"]
    assert len(terms()) == 1
    assert balance(PHARMACY) == MONTHLY


def test_an_account_moves_to_another_zone_with_its_plan() -> None:
    begin()

    shown = run(
        "accounts", "set", PHARMACY, "--timezone", "America/New_York", "--name", "Moved", "--json"
    ).json

    assert (shown["timezone"], shown["name"]) == ("America/New_York", "Moved")
    plan = planning.plan()
    assert plan.service_renewal_next_due == at("2027-11-21T05:00")
    assert plan.next_grant_at == at("2026-12-01T05:00")


def test_a_zone_that_does_not_exist_changes_nothing() -> None:
    begin()

    refused = run("accounts", "set", PHARMACY, "--timezone", "Kolkata", "--name", "Moved")

    assert "timezone must be an IANA name" in refused.error
    bad_name = run("accounts", "set", PHARMACY, "--timezone", "Asia/Dubai", "--name", " ")
    assert "name must not be empty" in bad_name.error
    assert rows("SELECT name, timezone FROM accounts") == [("A Pharmacy", "Asia/Kolkata")]
    assert planning.plan().service_renewal_next_due == at("2027-11-20T18:30")
    assert "unknown account" in run("accounts", "set", "x:1", "--timezone", "UTC").error
    assert run("accounts", "set", PHARMACY).exit_code == 2


@pytest.mark.parametrize("key", ["payment:pay_1", "pay_Sw0eHbmAJ1dXgT"])
def test_no_year_by_hand_has_a_key_that_names_a_payment(key: str) -> None:
    ran = activate("--key", key)

    assert "billing payments attach" in ran.error
    assert rows("SELECT count(*) FROM plan_terms") == [(0,)]

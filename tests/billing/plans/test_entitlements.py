"""Entitlements: what each state of a plan has, why and until when; and what the platform shows."""

from datetime import date, datetime, timedelta
from itertools import combinations
from pathlib import Path

import pytest
from sqlalchemy import text

import clock
import settings
from billing import accounts, catalog, plans
from billing.money import rupees
from billing.plans import RenewalStatus, entitlements
from billing.plans.entitlements import Entitlement, Entitlements
from billing.plans.overview import Overview, get_overview, list_plans
from billing.plans.standing import Standing
from db.pages import Wanted
from db.session import transaction
from tests.billing.given import give, open_account, post_all
from tests.billing.plans import given as planning
from tests.billing.plans.given import KOLKATA, PHARMACY, PLAN, RENEWAL, at

# Bought on 21 November 2026 in Kolkata: these are the midnights there.
DUE_SOON = at("2027-10-21T18:30")
DUE = at("2027-11-20T18:30")
GRACE_ENDS = at("2027-12-05T18:30")
BOUGHT = at("2026-11-21T10:00")
TICK = timedelta(microseconds=1)

# State -> entitlement -> until when, or False if it is not allowed; None: no end.
TABLE: dict[str, dict[str, datetime | bool | None]] = {
    "active": {
        "core_features": None, "spend_credits": None, "monthly_grant": GRACE_ENDS,
        "updates": GRACE_ENDS, "priority_support": DUE, "new_branches": DUE,
    },
    "due_soon": {
        "core_features": None, "spend_credits": None, "monthly_grant": GRACE_ENDS,
        "updates": GRACE_ENDS, "priority_support": DUE, "new_branches": DUE,
    },
    "past_due": {
        "core_features": None, "spend_credits": None, "monthly_grant": GRACE_ENDS,
        "updates": GRACE_ENDS, "priority_support": False, "new_branches": False,
    },
    "degraded": {
        "core_features": None, "spend_credits": None, "monthly_grant": False,
        "updates": False, "priority_support": False, "new_branches": False,
    },
    "none": {
        "core_features": False, "spend_credits": None, "monthly_grant": False,
        "updates": False, "priority_support": False, "new_branches": False,
    },
}  # fmt: skip


def entitled(ref: str = PHARMACY) -> Entitlements:
    with transaction() as session:
        account = accounts.find(session, ref)
        assert account is not None
        return entitlements.get_entitlements(session, account)


def overview(ref: str = PHARMACY) -> Overview:
    with transaction() as session:
        account = accounts.find(session, ref)
        assert account is not None
        return get_overview(session, account)


def shape(found: dict[str, Entitlement]) -> dict[str, datetime | bool | None]:
    """As in the table."""
    assert all(one.until is None for one in found.values() if not one.allowed)
    return {name: one.until if one.allowed else False for name, one in found.items()}


@pytest.fixture
def bought(database: str) -> None:
    with clock.frozen(BOUGHT):
        planning.open_pharmacy()
        planning.buy(PLAN)


@pytest.mark.usefixtures("bought")
@pytest.mark.parametrize("ticked", [True, False])
@pytest.mark.parametrize(
    ("moment", "state"),
    [
        (BOUGHT, "active"),
        (DUE_SOON - TICK, "active"),
        (DUE_SOON, "due_soon"),
        (DUE - TICK, "due_soon"),
        (DUE, "past_due"),
        (GRACE_ENDS - TICK, "past_due"),
        (GRACE_ENDS, "degraded"),
        (at("2035-01-01T00:00"), "degraded"),
    ],
)
def test_each_state_has_what_the_table_says_from_its_first_instant_on(
    moment: datetime, state: str, ticked: bool
) -> None:
    with clock.frozen(moment):
        if ticked:
            planning.tick()

        found = entitled()

    assert found.service_renewal_status == state
    assert shape(found.entitlements) == TABLE[state]


@pytest.mark.usefixtures("database")
def test_an_account_that_never_bought_a_plan_can_spend_what_it_has() -> None:
    for ref in (planning.open_pharmacy(), open_account("clinic:42")):
        found = entitled(ref)

        assert (found.service_renewal_status, found.banner) == ("none", None)
        assert shape(found.entitlements) == TABLE["none"]
        whys = {name: one.why for name, one in found.entitlements.items()}
        assert whys.pop("spend_credits") == "always included: it needs no plan"
        assert set(whys.values()) == {"this account has never bought a plan"}


@pytest.mark.usefixtures("bought")
def test_each_state_says_why() -> None:
    whys_by_state = {}
    for moment in (BOUGHT, DUE_SOON, DUE, GRACE_ENDS):
        with clock.frozen(moment):
            found = entitled()
        whys_by_state[found.service_renewal_status] = {
            n: e.why for n, e in found.entitlements.items()
        }

    assert {state: whys["updates"] for state, whys in whys_by_state.items()} == {
        "active": "the plan is due on 2027-11-21: included until its grace ends on 2027-12-06",
        "due_soon": "the plan is due on 2027-11-21: included until its grace ends on 2027-12-06",
        "past_due": "the plan was due on 2027-11-21: included until its grace ends on 2027-12-06",
        "degraded": "the plan was due on 2027-11-21 and its grace ended on 2027-12-06:"
        " renew to have it again",
    }
    for paid in ("active", "due_soon"):
        assert whys_by_state[paid]["priority_support"] == (
            "included while the plan is paid: it is due on 2027-11-21"
        )
    assert whys_by_state["past_due"]["priority_support"] == (
        "the plan was due on 2027-11-21: renew to have it again"
    )
    assert (
        whys_by_state["degraded"]["core_features"]
        == "included since the plan was bought, renewed or not"
    )
    assert whys_by_state["degraded"]["spend_credits"] == "always included: it needs no plan"


@pytest.mark.parametrize("status", RenewalStatus)
@pytest.mark.parametrize(
    "states",
    [
        chosen
        for number in (1, 2, 3)
        for chosen in combinations((s.value for s in RenewalStatus), number)
    ],
    ids="+".join,
)
def test_the_reason_never_contradicts_the_end(
    monkeypatch: pytest.MonkeyPatch, states: tuple[str, ...], status: RenewalStatus
) -> None:
    own = {"perk": list(states)}
    known = catalog.get().model_copy(update={"entitlements": own})
    monkeypatch.setattr(catalog, "get", lambda: known)

    found = entitlements.decide(Standing(status, date(2027, 11, 21), KOLKATA, 0))["perk"]

    assert found.allowed == (status.value in states)
    if found.allowed:
        assert ("until its grace ends on 2027-12-06" in found.why) == (found.until == GRACE_ENDS)
        assert ("while the plan is paid" in found.why) == (found.until == DUE)
        assert ("while the plan is active" in found.why) == (found.until == DUE_SOON)
        # An entitlement without an end names none.
        assert ("even if it is not renewed" in found.why) == (found.until is None)


@pytest.mark.usefixtures("bought")
@pytest.mark.parametrize(
    ("paid", "ends"),
    [(DUE_SOON, GRACE_ENDS), (GRACE_ENDS - TICK, GRACE_ENDS), (GRACE_ENDS, None)],
)
def test_paying_brings_everything_back_at_once(paid: datetime, ends: datetime | None) -> None:
    with clock.frozen(paid):
        planning.buy(RENEWAL, 2)

        found = entitled()

    assert found.service_renewal_status == "active"
    assert found.banner is None
    # A year more from the due date; too late, a year from the payment, on 6 December.
    again = at("2028-12-05T18:30") if ends else at("2028-12-20T18:30")
    assert found.entitlements["updates"].until == again


@pytest.mark.usefixtures("bought")
def test_another_zone_takes_no_recorded_status_back() -> None:
    with clock.frozen(DUE):
        planning.tick()
        with transaction() as session:
            plans.move_to_zone(session, PHARMACY, "America/New_York")

        found = entitled()

    assert found.service_renewal_status == "past_due"  # though in New York the day is not yet
    assert found.entitlements["updates"].until == at("2027-12-06T05:00")


@pytest.mark.usefixtures("bought")
def test_the_banner_of_each_state_is_filled_in() -> None:
    shown = {}
    for moment in (BOUGHT, DUE_SOON, at("2027-11-19T18:30"), DUE, GRACE_ENDS):
        with clock.frozen(moment):
            found = entitled().banner
        shown[moment] = (found.level, found.text) if found else None

    assert shown == {
        BOUGHT: None,
        DUE_SOON: (
            "info", "PharmaPulse One is due for renewal on 2027-11-21 (days left: 30)."
            " One more year: ₹1,000.",
        ),
        at("2027-11-19T18:30"): (
            "info", "PharmaPulse One is due for renewal on 2027-11-21 (days left: 1)."
            " One more year: ₹1,000.",
        ),
        DUE: (
            "warning", "PharmaPulse One was due for renewal on 2027-11-21. Renew before 2027-12-06"
            " to keep monthly credits and updates. One more year: ₹1,000.",
        ),
        GRACE_ENDS: (
            "critical", "PharmaPulse One has not been renewed since 2027-11-21: monthly credits,"
            " updates and priority support have stopped. Your credits can still be spent."
            " One more year: ₹1,000.",
        ),
    }  # fmt: skip


def test_another_catalog_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = (settings.PROJECT_DIR / "catalog.toml").read_text()
    own = own.replace("[banners]", 'dark_mode = ["past_due"]\nfarewell = ["degraded"]\n[banners]')
    own = own.replace("plan_renewal = {", "# plan_renewal = {")
    own += '[banners.none]\nlevel = "info"\ntext = "Have a look at {plan}."\n'
    file = tmp_path / "catalog.toml"
    file.write_text(own)
    known = catalog.load(file)
    monkeypatch.setattr(catalog, "get", lambda: known)

    # A renewal that is no longer sold has no price.
    due = Standing(RenewalStatus.PAST_DUE, date(2027, 11, 21), KOLKATA, 0)
    shown = entitlements.fill_banner("pharmapulse_one", PLAN, due)
    assert shown is not None
    assert shown.text.endswith("One more year: price on request.")
    # Further entitlements of the catalog are answered too.
    assert entitlements.decide(due)["dark_mode"].until == GRACE_ENDS
    active = Standing(RenewalStatus.ACTIVE, date(2027, 11, 21), KOLKATA, 200)
    assert entitlements.decide(active)["dark_mode"] == Entitlement(
        allowed=False, why="not included while the plan is active", until=None
    )
    gone = Standing(RenewalStatus.DEGRADED, date(2027, 11, 21), KOLKATA, 0)
    assert entitlements.decide(gone)["farewell"].why == (
        "the plan was due on 2027-11-21: included even if it is not renewed"
    )
    shown = entitlements.fill_banner("pharmapulse_one", None, None)
    assert shown is not None
    assert shown.text == "Have a look at PharmaPulse One."


def test_a_grace_of_no_days_ends_everything_on_the_day(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = (settings.PROJECT_DIR / "catalog.toml").read_text()
    file = tmp_path / "catalog.toml"
    file.write_text(own.replace("grace_days = 15", "grace_days = 0"))
    known = catalog.load(file)
    monkeypatch.setattr(catalog, "get", lambda: known)

    active = Standing(RenewalStatus.ACTIVE, date(2027, 11, 21), KOLKATA, 200)

    found = shape(entitlements.decide(active))
    assert (found["updates"], found["priority_support"]) == (DUE, DUE)


@pytest.mark.usefixtures("bought")
def test_the_next_month_is_promised_while_its_grant_is_certain() -> None:
    promised = {}
    for moment in ("2026-11-21T10:00", "2027-11-30T18:29", "2027-11-30T18:30", "2027-12-05T18:30"):
        with clock.frozen(at(moment)):
            planning.tick()
            promised[moment] = overview().next_grant

    first, december = promised["2026-11-21T10:00"], promised["2027-11-30T18:29"]
    assert first is not None
    assert (first.month, first.at, first.credits) == ("2026-12", at("2026-11-30T18:30"), 50_000)
    assert december is not None
    assert (december.month, december.at) == ("2027-12", at("2027-11-30T18:30"))
    # January begins after the grace, which ends on 6 December.
    assert promised["2027-11-30T18:30"] is None
    assert promised["2027-12-05T18:30"] is None


@pytest.mark.usefixtures("bought")
def test_a_month_that_is_too_long_ago_to_be_caught_up_with_is_not_promised() -> None:
    with clock.frozen(BOUGHT):
        planning.buy(RENEWAL, 2)
    with clock.frozen(at("2028-03-10T10:00")):  # no tick came for 15 months
        promised = overview().next_grant
        planning.tick()

    assert promised is not None
    assert (promised.month, promised.at) == ("2027-03", at("2027-02-28T18:30"))
    assert planning.months()[:2] == ["2026-11", "2027-03"]


@pytest.mark.usefixtures("bought")
def test_an_overview_holds_plan_credit_and_renewal() -> None:
    post_all(give(70, account=PHARMACY, key="more"))
    with clock.frozen(at("2027-11-22T10:00")):  # no tick came for a year
        found = overview()

    assert found.plan is not None
    assert (found.plan.plan_type, found.plan.purchased_at, found.plan.branches) == (PLAN, BOUGHT, 1)
    assert (found.balance, found.available, found.alert_level) == (50_070, 50_070, "ok")
    assert found.renewal is not None
    assert (found.renewal.service_renewal_status, found.renewal.days_left) == ("past_due", 0)
    assert (found.renewal.service_renewal_next_due, found.renewal.grace_ends_at) == (
        DUE, GRACE_ENDS,
    )  # fmt: skip
    assert found.banner is not None
    assert found.banner.level == "warning"


@pytest.mark.usefixtures("database")
def test_a_plan_bought_while_one_reads_is_shown_with_its_first_credit_and_in_its_zone() -> None:
    ref = planning.open_pharmacy()

    with clock.frozen(BOUGHT), transaction() as session:
        account = accounts.find(session, ref)  # as it was before
        assert account is not None
        planning.buy(PLAN)
        with transaction() as another:
            plans.move_to_zone(another, ref, "Pacific/Auckland")

        shown = get_overview(session, account)
        found = entitlements.get_entitlements(session, account)
        afterwards = overview(ref)

    assert shown.plan is not None
    assert shown.balance == planning.MONTHLY
    assert shown == afterwards
    assert found.entitlements["updates"].until == at("2027-12-05T11:00")  # midnight of Auckland


@pytest.mark.usefixtures("bought")
def test_plans_are_listed_by_due_date_in_the_state_they_are_in() -> None:
    with clock.frozen(at("2027-11-25T10:00")):
        planning.open_pharmacy("pharmacy:8")
        planning.buy(PLAN, 1, "pharmacy:8")

    def listed(state: RenewalStatus | None = None, limit: int = 10) -> list[tuple[str, str]]:
        with transaction() as session:
            found = list_plans(session, Wanted(limit), state=state)
            return [(one.account, one.service_renewal_status.value) for one in found]

    with clock.frozen(DUE):
        assert listed() == [(PHARMACY, "past_due"), ("pharmacy:8", "active")]
        assert listed(limit=1) == [(PHARMACY, "past_due")]
        assert listed(RenewalStatus.ACTIVE) == [("pharmacy:8", "active")]
        assert listed(RenewalStatus.DEGRADED) == []


@pytest.mark.usefixtures("bought")
@pytest.mark.parametrize("zone", [KOLKATA, "Pacific/Kiritimati", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("ticked", [True, False])
def test_a_plan_is_in_the_list_of_its_state_alone_at_every_border(
    zone: str, *, ticked: bool
) -> None:
    with transaction() as session:
        plans.move_to_zone(session, PHARMACY, zone)
    ends = planning.plan()
    soon = ends.service_renewal_next_due - timedelta(days=30)
    for border in (soon, ends.service_renewal_next_due, ends.grace_ends_at):
        for moment in (border - timedelta(days=3), border - TICK, border, border + TICK):
            with clock.frozen(moment):
                if ticked:
                    planning.tick()
                with transaction() as session:
                    of_state = {
                        state: len(list_plans(session, Wanted(10), state=state))
                        for state in RenewalStatus
                    }
                assert of_state == dict.fromkeys(RenewalStatus, 0) | {
                    RenewalStatus(entitled().service_renewal_status): 1
                }


@pytest.mark.usefixtures("bought")
def test_a_plan_without_monthly_credit_promises_none() -> None:
    with transaction() as session:
        session.execute(text("UPDATE account_plans SET monthly_credits = 0"))

    with clock.frozen(BOUGHT):
        assert overview().next_grant is None


@pytest.mark.parametrize(
    ("paise", "written"),
    [
        (0, "₹0"), (100_000, "₹1,000"), (100_050, "₹1,000.50"), (99_905, "₹999.05"),
        (10_000_000, "₹1,00,000"), (123_456_789_00, "₹12,34,56,789"),
    ],
)  # fmt: skip
def test_rupees_are_written_as_india_does(paise: int, written: str) -> None:
    assert rupees(paise) == written

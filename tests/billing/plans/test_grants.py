"""Monthly grants: once a local month, caught up in order, whatever the zone or the downtime."""

from datetime import date, timedelta

import pytest

import clock
from billing import plans
from billing.plans import grants, parse_month
from db.session import transaction
from tests.billing.given import assert_ledger_is_clean, at_once, balance, rows
from tests.billing.plans import given as planning
from tests.billing.plans.given import MONTHLY, PHARMACY, PLAN, at

pytestmark = pytest.mark.usefixtures("database")


def subscribe(ref: str = PHARMACY, *, timezone: str = planning.KOLKATA) -> None:
    """An account whose plan begins on 21 November 2026 at 10:00 UTC."""
    with clock.frozen(at("2026-11-21T10:00")):
        planning.open_pharmacy(ref, timezone=timezone)
        planning.buy(PLAN, ref=ref)


@pytest.mark.parametrize(
    ("timezone", "begins"),
    [
        ("Etc/GMT+12", "2026-12-01T12:00"),  # UTC-12
        ("Pacific/Kiritimati", "2026-11-30T10:00"),  # UTC+14
        ("Asia/Kolkata", "2026-11-30T18:30"),
        ("Asia/Kathmandu", "2026-11-30T18:15"),  # a quarter of an hour
        ("Pacific/Chatham", "2026-11-30T10:15"),  # the same, in summer time
        ("America/St_Johns", "2026-12-01T03:30"),
    ],
)
def test_a_month_is_granted_from_its_first_local_instant_on(timezone: str, begins: str) -> None:
    subscribe(timezone=timezone)
    month = at(begins)

    with clock.frozen(month - timedelta(seconds=1)):
        planning.tick()
        assert planning.months() == ["2026-11"]  # a second before

    with clock.frozen(month):
        planning.tick()
        planning.tick()
        assert planning.months() == ["2026-11", "2026-12"]
    assert rows("SELECT event_at FROM credit_transactions ORDER BY id DESC LIMIT 1") == [(month,)]


def test_missed_months_are_caught_up_in_their_order() -> None:
    subscribe()

    with clock.frozen(at("2027-03-05T00:00")):
        planning.tick()

    assert planning.months() == ["2026-11", "2026-12", "2027-01", "2027-02", "2027-03"]
    assert balance(PHARMACY) == 5 * MONTHLY
    assert_ledger_is_clean()


def test_months_longer_ago_than_the_catalog_says_are_withheld_and_recorded() -> None:
    subscribe()
    with clock.frozen(at("2027-10-01T00:00")):
        planning.buy("plan_renewal", 2)
        with transaction() as session:  # as if nothing had run since the purchase
            session.connection().exec_driver_sql(
                "UPDATE account_plans SET next_grant_month = '2026-12-01',"
                " next_grant_at = '2026-11-30 18:30+00'"
            )

    with clock.frozen(at("2028-02-10T00:00")):
        planning.tick()

    withheld = rows(
        "SELECT after ->> 'month', after ->> 'reason' FROM billing_audit_log"
        " WHERE action = 'grant.withheld' ORDER BY id"
    )
    assert withheld == [("2026-12", "too_long_ago"), ("2027-01", "too_long_ago")]
    assert planning.months()[-13:] == [
        *(f"2027-{month:02}" for month in range(2, 13)), "2028-01", "2028-02",
    ]  # fmt: skip


def test_a_month_that_began_degraded_is_withheld_and_not_granted_later() -> None:
    subscribe()
    with clock.frozen(at("2027-12-01T00:00")):
        planning.tick()  # its grace ends on the 6th
    with clock.frozen(at("2028-01-10T00:00")):
        planning.tick()

        planning.buy("plan_renewal", 2)
        planning.tick()

        assert planning.months()[-1] == "2027-12"
    with clock.frozen(at("2028-02-01T00:00")):
        planning.tick()
    assert planning.months()[-2:] == ["2027-12", "2028-02"]
    assert rows(
        "SELECT after ->> 'month' FROM billing_audit_log WHERE action = 'grant.withheld'"
    ) == [("2028-01",)]


def test_a_month_that_begins_as_the_grace_ends_is_withheld() -> None:
    with clock.frozen(at("2026-11-16T10:00")):  # the grace ends on 1 December 2027
        planning.open_pharmacy()
        planning.buy(PLAN)
    for moment in ("2027-10-31T18:30", "2027-11-30T18:30"):
        with clock.frozen(at(moment)):
            planning.tick()

    assert planning.months()[-1] == "2027-11"


def test_a_renewal_paid_as_a_month_begins_brings_that_month() -> None:
    subscribe()
    for moment in ("2027-11-30T18:30", "2027-12-31T18:30"):
        with clock.frozen(at(moment)):
            planning.tick()
    with clock.frozen(at("2027-12-31T18:30")):  # January begins, and was withheld
        planning.buy("plan_renewal", 2)
        planning.tick()

    assert planning.months()[-2:] == ["2027-12", "2028-01"]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("Pacific/Kiritimati", "Etc/GMT+12"),  # 26 hours back: November once more
        ("Etc/GMT+12", "Pacific/Kiritimati"),  # 26 hours on
        ("Asia/Kolkata", "America/New_York"),
    ],
)
@pytest.mark.parametrize("moved_at", ["2026-11-30T09:00", "2026-11-30T19:00", "2026-12-01T13:00"])
def test_another_zone_grants_no_month_twice_and_skips_none(
    first: str, then: str, moved_at: str
) -> None:
    subscribe(timezone=first)

    for moment in (moved_at, "2026-12-02T00:00", "2027-01-02T00:00"):
        with clock.frozen(at(moment)):
            planning.tick()
            if moment == moved_at:
                with transaction() as session:
                    plans.move_to_zone(session, PHARMACY, then)
                planning.tick()

    assert planning.months() == ["2026-11", "2026-12", "2027-01"]


def test_a_purchase_just_before_a_new_month_in_a_zone_that_then_changes_skips_nothing() -> None:
    with clock.frozen(at("2026-12-01T11:59")):  # still November in the west
        planning.open_pharmacy(timezone="Etc/GMT+12")
        planning.buy(PLAN)
        with transaction() as session:
            plans.move_to_zone(session, PHARMACY, "Pacific/Kiritimati")

        planning.tick()

    assert planning.months() == ["2026-11", "2026-12"]


def test_workers_at_once_grant_each_account_once() -> None:
    refs = [f"pharmacy:{number}" for number in range(30)]
    for ref in refs:
        subscribe(ref)

    def work() -> None:
        with clock.frozen(at("2027-01-05T00:00")):
            while True:
                with transaction() as session:
                    if not grants.grant_due(session, limit=4).accounts:
                        return

    with clock.frozen(at("2027-01-05T00:00")):
        at_once(*[work] * 2)

    assert {tuple(planning.months(ref)) for ref in refs} == {("2026-11", "2026-12", "2027-01")}
    assert_ledger_is_clean()


def test_a_run_for_a_month_leaves_the_later_ones() -> None:
    subscribe()

    with clock.frozen(at("2027-03-05T00:00")), transaction() as session:
        chunk = grants.grant_due(session, through=parse_month("2027-01"))

    assert dict(chunk.granted) == {"2026-12": 1, "2027-01": 1}
    assert planning.plan().next_grant_month == date(2027, 2, 1)


def test_an_account_whose_dates_cannot_be_computed_keeps_no_other_waiting() -> None:
    subscribe("pharmacy:1")
    subscribe("pharmacy:2")
    with transaction() as session:
        session.connection().exec_driver_sql(
            "UPDATE accounts SET timezone = 'Mars/Olympus' WHERE ref = 'pharmacy:1'"
        )

    with clock.frozen(at("2026-12-05T00:00")):
        with transaction() as session:
            chunk = grants.grant_due(session)
        with transaction() as session:
            assert grants.count_due(session) == 0  # put off

    assert list(chunk.put_off) == ["pharmacy:1"]
    assert planning.months("pharmacy:2") == ["2026-11", "2026-12"]


def test_a_preview_shows_what_is_then_granted() -> None:
    subscribe("pharmacy:1")
    subscribe("pharmacy:2", timezone="America/New_York")

    with clock.frozen(at("2027-01-31T20:00")):  # February already in Kolkata
        with transaction() as session:
            previewed = [(due.month, credits_) for due, credits_ in grants.preview(session)]
        with transaction() as session:
            chunk = grants.grant_due(session)

    assert len(previewed) == chunk.granted.total() == 5
    assert sum(credits_ for _, credits_ in previewed) == chunk.credits == 5 * MONTHLY

"""Renewal enforcement: each state and each reminder once, at the beginning of its local day."""

from datetime import date

import pytest
from sqlalchemy.orm import Session

import clock
from billing import catalog, plans
from billing.plans import RenewalStatus
from billing.plans.standing import standing_of
from db.models import AccountPlan
from db.session import transaction
from tests.billing.given import assert_ledger_is_clean, at_once, rows
from tests.billing.plans import given as planning
from tests.billing.plans.given import PHARMACY, PLAN, RENEWAL, at

pytestmark = pytest.mark.usefixtures("database")

# Due on 21 November 2027; midnight in Kolkata is 18:30 UTC of the day before.
STEPS = [
    ("2027-10-21T18:30", "due_soon", -30),
    ("2027-11-13T18:30", "due_soon", -7),
    ("2027-11-19T18:30", "due_soon", -1),
    ("2027-11-20T18:30", "past_due", 0),
    ("2027-11-27T18:30", "past_due", 7),
    ("2027-12-05T18:30", "degraded", 15),
]


@pytest.fixture(autouse=True)
def bought(database: str) -> None:
    with clock.frozen(at("2026-11-21T10:00")):
        planning.open_pharmacy()
        planning.buy(PLAN)


def reminders() -> list[tuple[object, object]]:
    """(days, superseded) of every reminder, in the order they were written."""
    return [(days, gone) for _, days, gone in planning.notices(topic="renewal.reminder")]


def test_every_step_is_taken_once_at_the_beginning_of_its_day() -> None:
    for number, (moment, status, days) in enumerate(STEPS):
        instant = at(moment)
        with clock.frozen(instant.replace(minute=29, second=59)):
            planning.tick()
            assert len(reminders()) == number
        with clock.frozen(instant):
            planning.tick()
            planning.tick()
            assert planning.plan().service_renewal_status == status
            assert reminders()[number:] == [(days, False)]

    assert [topic for topic, _, _ in planning.notices(topic="plan.%")] == [
        "plan.activated", "plan.due_soon", "plan.past_due", "plan.degraded",
    ]  # fmt: skip
    assert planning.plan().next_step_at is None


def test_after_a_downtime_only_the_newest_reminder_goes_out() -> None:
    with clock.frozen(at("2027-11-28T12:00")):
        planning.tick()

    assert reminders() == [(-30, True), (-7, True), (-1, True), (0, True), (7, False)]
    assert [topic for topic, _, _ in planning.notices(topic="plan.%")] == [
        "plan.activated", "plan.due_soon", "plan.past_due",
    ]  # fmt: skip
    notices = rows(
        "SELECT payload ->> 'was', payload ->> 'at' FROM outbox_events"
        " WHERE topic = 'plan.past_due'"
    )
    # The instant at which it became so, not that of the tick.
    assert notices == [("due_soon", "2027-11-20T18:30:00+00:00")]


def test_a_renewal_while_due_soon_ends_the_reminders_of_this_year() -> None:
    with clock.frozen(at("2027-11-14T12:00")):
        planning.tick()
        planning.buy(RENEWAL, 2)
        assert planning.plan().service_renewal_status == "active"

    with clock.frozen(at("2028-06-01T00:00")):
        planning.tick()

    assert reminders() == [(-30, True), (-7, False)]
    with clock.frozen(at("2028-10-21T18:30")):
        planning.tick()
    assert reminders()[2:] == [(-30, False)]  # of the next year


def test_a_renewal_of_a_degraded_plan_makes_it_active_at_once() -> None:
    with clock.frozen(at("2028-03-01T12:00")):
        planning.tick()
        assert planning.plan().service_renewal_status == "degraded"

        planning.buy(RENEWAL, 2)

        assert planning.plan().service_renewal_status == "active"
    assert planning.notices(topic="plan.active") == [("plan.active", None, False)]


def test_two_ticks_at_once_take_each_step_once() -> None:
    def tick() -> None:
        with clock.frozen(at("2027-12-10T00:00")):
            planning.tick()

    with clock.frozen(at("2027-12-10T00:00")):
        at_once(*[tick] * 2)

    assert len(reminders()) == len(STEPS)
    assert len(planning.notices(topic="plan.%")) == 4


def test_every_change_of_state_is_in_the_audit_log() -> None:
    with clock.frozen(at("2028-03-01T12:00")):
        planning.tick()

    found = rows(
        "SELECT before ->> 'service_renewal_status', after ->> 'service_renewal_status'"
        "  FROM billing_audit_log WHERE subject = :subject AND action LIKE 'plan.%' ORDER BY id",
        subject=f"account:{PHARMACY}",
    )
    assert found == [
        (None, "active"), ("active", "due_soon"), ("due_soon", "past_due"),
        ("past_due", "degraded"),
    ]  # fmt: skip


def test_a_plan_whose_dates_cannot_be_computed_keeps_no_other_waiting() -> None:
    with clock.frozen(at("2026-11-21T10:00")):
        planning.open_pharmacy("pharmacy:8")
        planning.buy(PLAN, ref="pharmacy:8")
    with transaction() as session:
        session.connection().exec_driver_sql(
            f"UPDATE accounts SET timezone = 'Mars/Olympus' WHERE ref = '{PHARMACY}'"
        )

    with clock.frozen(at("2027-10-25T00:00")):
        planning.tick()

    assert planning.plan().service_renewal_status == "active"
    assert planning.plan("pharmacy:8").service_renewal_status == "due_soon"
    assert planning.plan().step_problem is not None
    assert planning.plan("pharmacy:8").step_problem is None


def test_a_plan_that_was_put_off_is_not_any_more_when_its_zone_is_known() -> None:
    for repair in (planning.tick, in_another_zone):
        with transaction() as session:
            set_zone(session, "Mars/Olympus")
        with clock.frozen(at("2027-10-25T00:00")):
            planning.tick()
        assert planning.plan().step_problem is not None
        assert planning.plan().grant_problem is not None

        with transaction() as session:
            set_zone(session, "Asia/Kolkata")
        with clock.frozen(at("2027-10-25T02:00")):
            repair()
        found = planning.plan()
        assert (found.step_problem, found.grant_problem) == (None, None)
        with transaction() as session:
            plan = session.get_one(AccountPlan, found.account_id)
            plan.next_step_at = plan.next_grant_at = at("2027-10-24T00:00")


def in_another_zone() -> None:
    with transaction() as session:
        plans.move_to_zone(session, PHARMACY, "America/New_York")


def set_zone(session: Session, zone: str) -> None:
    update = "UPDATE accounts SET timezone = %s WHERE ref = %s"
    session.connection().exec_driver_sql(update, (zone, PHARMACY))


def test_a_grace_that_is_cut_short_degrades_those_who_are_past_its_new_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with clock.frozen(at("2027-11-28T12:00")):
        planning.tick()
        assert planning.plan().stepped_to == 7
    set_grace(monkeypatch, days=5)

    with clock.frozen(at("2027-12-06T12:00")):
        planning.tick()

    found = planning.plan()
    assert (found.service_renewal_status, found.next_step_at) == ("degraded", None)
    assert reminders()[-1] == (15, False)
    assert [topic for topic, _, _ in planning.notices(topic="plan.%")].count("plan.degraded") == 1
    assert planning.months()[-1] == "2027-11"  # December began after the end of this grace
    assert_ledger_is_clean()


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/New_York"])
def test_a_grace_that_is_made_longer_gives_none_to_those_who_are_degraded(
    monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    with clock.frozen(at("2027-12-06T12:00")):
        planning.tick()
    assert planning.plan().service_renewal_status == "degraded"
    set_grace(monkeypatch, days=60)

    # When its instants are computed again, and two months begin
    with clock.frozen(at("2027-12-07T12:00")), transaction() as session:
        plans.move_to_zone(session, PHARMACY, zone)
    with clock.frozen(at("2028-01-10T12:00")):
        planning.tick()
        standing = standing_of(planning.plan(), zone, clock.now())

    assert planning.months()[-1] == "2027-12"
    # Its grace ended on the day that is on record.
    assert standing.status is RenewalStatus.DEGRADED
    assert standing.grace_ends_on == date(2027, 12, 6)
    assert planning.plan().grace_ends_at == standing.grace_ends_at
    # And a payment now is late: a year from today.
    with clock.frozen(at("2028-01-11T12:00")):
        planning.buy(RENEWAL, 2)
    assert planning.plan().anchor_on >= date(2028, 1, 11)
    assert_ledger_is_clean()


def set_grace(monkeypatch: pytest.MonkeyPatch, *, days: int) -> None:
    known = catalog.get()
    renewal = known.renewal.model_copy(update={"grace_days": days})
    monkeypatch.setattr(catalog, "get", lambda: known.model_copy(update={"renewal": renewal}))

"""Paid years: bought once, renewed from the anchor, in whatever order payments become known."""

from contextlib import suppress
from datetime import date

import pytest

import clock
from billing import payments, plans
from billing.payments import Seen
from billing.plans import InvalidOrder
from billing.plans.calendar import start_of, years_after
from db.errors import DatabaseBusy
from db.session import transaction
from tests.billing.disputes.given import meanwhile
from tests.billing.given import assert_ledger_is_clean, at_once, balance, rows
from tests.billing.payments import given as buying
from tests.billing.plans import given as planning
from tests.billing.plans.given import KOLKATA, MONTHLY, PHARMACY, PLAN, RENEWAL, at

pytestmark = pytest.mark.usefixtures("database")


def test_a_paid_order_activates_the_plan_and_brings_the_current_month_at_once() -> None:
    with clock.frozen(at("2026-11-21T10:00")):
        planning.open_pharmacy()
        taken = planning.buy(PLAN)

    found = planning.plan()
    assert taken.states == ["captured"]
    assert (found.plan_type, found.service_renewal_status) == (PLAN, "active")
    assert found.purchased_at == at("2026-11-21T10:00")
    assert found.service_renewal_next_due == at("2027-11-20T18:30")  # midnight in Kolkata
    assert (found.branches, found.features) == (1, ["all_features", "priority_support"])
    assert (planning.months(), balance(PHARMACY)) == (["2026-11"], MONTHLY)
    assert planning.notices(topic="plan.%") == [("plan.activated", None, False)]
    assert_ledger_is_clean()


def test_the_same_payment_again_changes_nothing() -> None:
    planning.open_pharmacy()
    order_id = planning.order(PLAN, 1)
    planning.pay(order_id, PLAN)
    before = planning.plan().service_renewal_next_due

    planning.pay(order_id, PLAN)

    assert planning.plan().service_renewal_next_due == before
    assert rows("SELECT count(*) FROM plan_terms") == [(1,)]
    assert balance(PHARMACY) == MONTHLY


def test_a_plan_that_the_account_has_cannot_be_ordered_again() -> None:
    planning.open_pharmacy()
    planning.buy(PLAN)

    with pytest.raises(InvalidOrder, match="order plan_renewal for a further year"):
        planning.order(PLAN, 2)


def test_a_renewal_needs_a_plan() -> None:
    planning.open_pharmacy()

    with pytest.raises(InvalidOrder, match="order pharmapulse_one first"):
        planning.order(RENEWAL, 1)


def test_a_second_purchase_that_was_ordered_before_is_quarantined() -> None:
    planning.open_pharmacy()
    first, second = planning.order(PLAN, 1), planning.order(PLAN, 2)
    planning.pay(first, PLAN)

    taken = planning.pay(second, PLAN)

    assert taken.states == ["quarantined"]
    assert buying.payment(f"pay_{second}").reason == "plan_bought_already"
    assert (rows("SELECT count(*) FROM plan_terms"), balance(PHARMACY)) == ([(1,)], MONTHLY)


def test_two_purchases_at_the_same_moment_are_one_plan() -> None:
    planning.open_pharmacy()
    orders = [planning.order(PLAN, number) for number in (1, 2)]

    at_once(*(lambda order_id=one: planning.pay(order_id, PLAN) for one in orders))

    states = sorted(buying.payment(f"pay_{one}").state for one in orders)
    assert states == ["captured", "quarantined"]
    assert balance(PHARMACY) == MONTHLY
    assert_ledger_is_clean()


@pytest.mark.parametrize(
    ("paid", "next_due"),
    [
        ("2027-03-01T00:00", "2028-11-20T18:30"),  # long before: one year more from the due date
        ("2027-12-05T18:29", "2028-11-20T18:30"),  # the last minute of the grace
        ("2027-12-05T18:30", "2028-12-05T18:30"),  # after it: a year from the payment
        ("2029-06-10T12:00", "2030-06-09T18:30"),
    ],
)
def test_a_renewal_goes_on_from_the_due_date_until_the_grace_has_ended(
    paid: str, next_due: str
) -> None:
    with clock.frozen(at("2026-11-21T10:00")):
        planning.open_pharmacy()
        planning.buy(PLAN)

    with clock.frozen(at(paid)):
        planning.tick()
        planning.buy(RENEWAL, 2)

        assert planning.plan().service_renewal_next_due == at(next_due)
        assert planning.plan().service_renewal_status == "active"


def test_twice_paid_is_two_years() -> None:
    with clock.frozen(at("2026-11-21T10:00")):
        planning.open_pharmacy()
        planning.buy(PLAN)
        planning.buy(RENEWAL, 2)
        planning.buy(RENEWAL, 3)

    assert planning.plan().service_renewal_next_due == at("2029-11-20T18:30")
    terms = rows("SELECT number, kind, starts_on::text, ends_on::text FROM plan_terms ORDER BY 1")
    assert terms == [
        (1, "purchase", "2026-11-21", "2027-11-21"),
        (2, "renewal", "2027-11-21", "2028-11-21"),
        (3, "renewal", "2028-11-21", "2029-11-21"),
    ]


def test_a_29_february_is_the_28th_and_the_29th_again_in_a_leap_year() -> None:
    with clock.frozen(at("2028-02-29T06:00")):
        planning.open_pharmacy()
        planning.buy(PLAN)
        found = [planning.plan().service_renewal_next_due]
        for number in range(2, 6):
            planning.buy(RENEWAL, number)
            found.append(planning.plan().service_renewal_next_due)

    assert [moment.date().isoformat() for moment in found] == [
        "2029-02-27", "2030-02-27", "2031-02-27", "2032-02-28", "2033-02-27",
    ]  # fmt: skip


def test_the_due_day_begins_with_the_next_instant_if_its_midnight_is_skipped() -> None:
    # In Santiago the clocks go from 00:00 to 01:00 on 5 September 2027.
    with clock.frozen(at("2026-09-05T12:00")):
        planning.open_pharmacy(timezone="America/Santiago")
        planning.buy(PLAN)

    assert planning.plan().service_renewal_next_due == at("2027-09-05T04:00")


def test_a_renewal_known_late_counts_from_when_it_was_paid_and_brings_what_was_withheld() -> None:
    with clock.frozen(at("2026-11-21T10:00")):
        planning.open_pharmacy()
        planning.buy(PLAN)
    with clock.frozen(at("2027-12-05T10:00")):  # the last day of the grace
        planning.tick()
        order_id = planning.order(RENEWAL, 2)

    with clock.frozen(at("2028-01-03T10:00")):
        planning.tick()
        assert planning.plan().service_renewal_status == "degraded"
        assert planning.months()[-1] == "2027-12"
        planning.pay(order_id, RENEWAL, made_at=at("2027-12-05T10:05"))
        planning.tick()

    assert planning.plan().service_renewal_next_due == at("2028-11-20T18:30")
    assert planning.months()[-2:] == ["2027-12", "2028-01"]
    assert len(set(planning.months())) == len(planning.months()) == 15
    assert_ledger_is_clean()


def test_steps_due_before_a_renewal_are_recorded_even_if_no_tick_came() -> None:
    with clock.frozen(at("2026-11-21T10:00")):
        planning.open_pharmacy()
        planning.buy(PLAN)

    with clock.frozen(at("2028-02-10T10:00")):  # nothing has run for 15 months
        planning.buy(RENEWAL, 2)
        planning.tick()

    # The months that began before the grace ended on 6 December; not one that began degraded.
    assert planning.months()[0] == "2026-11"
    assert planning.months()[-1] == "2027-12"
    statuses = [topic for topic, _, _ in planning.notices(topic="plan.%")]
    assert statuses == [
        "plan.activated", "plan.due_soon", "plan.past_due", "plan.degraded", "plan.renewed",
        "plan.active",  # the newest: a receiver drops an older state
    ]  # fmt: skip
    reminders = planning.notices(topic="renewal.reminder")
    assert [(days, superseded) for _, days, superseded in reminders] == [
        (days, True) for days in (-30, -7, -1, 0, 7, 15)
    ]


def test_another_zone_moves_the_instants_and_neither_days_nor_months() -> None:
    with clock.frozen(at("2026-11-21T10:00")):
        planning.open_pharmacy()
        planning.buy(PLAN)
        with transaction() as session:
            plans.move_to_zone(session, PHARMACY, "America/New_York")

    found = planning.plan()
    assert found.service_renewal_next_due == at("2027-11-21T05:00")
    assert found.next_grant_at == at("2026-12-01T05:00")
    assert rows("SELECT timezone FROM accounts") == [("America/New_York",)]


@pytest.mark.usefixtures("many_connections")
def test_a_zone_that_changes_while_a_renewal_waits_for_the_plan_is_the_new_one() -> None:
    planning.open_pharmacy()
    planning.buy(PLAN)
    renewal = planning.order(RENEWAL, 2)

    meanwhile(
        lambda session: plans.move_to_zone(session, PHARMACY, "Pacific/Kiritimati"),
        lambda: planning.pay(renewal, RENEWAL),
    )

    found = planning.plan()
    due_on = years_after(found.anchor_on, 2)
    assert found.service_renewal_next_due == start_of(due_on, "Pacific/Kiritimati")


@pytest.mark.usefixtures("many_connections")
def test_two_zone_changes_at_once_leave_the_plan_in_the_accounts_zone() -> None:
    planning.open_pharmacy()
    planning.buy(PLAN)

    def move_back() -> None:
        with transaction() as session:
            plans.move_to_zone(session, PHARMACY, KOLKATA)

    meanwhile(
        lambda session: plans.move_to_zone(session, PHARMACY, "Pacific/Kiritimati"), move_back
    )

    found = planning.plan()
    assert rows("SELECT timezone FROM accounts") == [(KOLKATA,)]
    assert found.next_grant_at == start_of(found.next_grant_month, KOLKATA)


def test_a_payment_that_failed_in_the_grace_and_succeeded_after_it_is_late() -> None:
    with clock.frozen(at("2026-11-21T10:00")):
        planning.open_pharmacy()
        planning.buy(PLAN)
    with clock.frozen(at("2027-11-25T10:00")):
        renewal = planning.order(RENEWAL, 2)
        failed = buying.news(
            Seen.FAILED, f"pay_{renewal}", order_id=renewal, amount_paise=100_000,
            happened_at=clock.now(),
        )  # fmt: skip
        buying.take_in(failed)

    with clock.frozen(at("2027-12-20T10:00")):
        planning.pay(renewal, RENEWAL, made_at=clock.now())

    assert planning.plan().anchor_on == date(2027, 12, 20)


@pytest.mark.parametrize("heard", ["in the order they were paid", "the later one first"])
@pytest.mark.parametrize(
    "first", ["2027-11-30T10:00", "2027-12-20T10:00"]
)  # in the grace; after it
def test_two_renewals_come_to_the_same_whichever_becomes_known_first(
    first: str, heard: str
) -> None:
    with clock.frozen(at("2026-11-21T10:00")):
        planning.open_pharmacy()
        planning.buy(PLAN)
        renewals = [planning.order(RENEWAL, number) for number in (2, 3)]
    paid = [at(first), at("2028-03-05T10:00")]
    if heard == "the later one first":
        renewals.reverse()
        paid.reverse()

    for order_id, made_at in zip(renewals, paid, strict=True):
        with clock.frozen(max(at("2028-03-05T10:00"), made_at)):
            planning.tick()
            planning.pay(order_id, RENEWAL, made_at=made_at)
    with clock.frozen(at("2028-03-10T10:00")):
        planning.tick()

    found = planning.plan()
    in_time = first == "2027-11-30T10:00"
    assert found.anchor_on == (date(2026, 11, 21) if in_time else date(2027, 12, 20))
    assert (found.years, found.service_renewal_status) == (3 if in_time else 2, "active")
    assert {"2028-01", "2028-02", "2028-03"} <= set(planning.months())
    assert len(set(planning.months())) == len(planning.months())
    assert "2027-12" in planning.months()  # it began in the grace of the first year
    assert_ledger_is_clean()


@pytest.mark.usefixtures("many_connections")
def test_a_zone_that_changes_while_a_plan_is_bought_is_the_plans_zone() -> None:
    planning.open_pharmacy()
    order_id = planning.order(PLAN, 1)

    def buy() -> None:
        with suppress(DatabaseBusy):  # its caller tries again
            planning.pay(order_id, PLAN)
        planning.pay(order_id, PLAN)

    meanwhile(lambda session: plans.move_to_zone(session, PHARMACY, "Pacific/Kiritimati"), buy)

    found = planning.plan()
    assert found.next_grant_at == start_of(found.next_grant_month, "Pacific/Kiritimati")
    assert balance(PHARMACY) == MONTHLY


@pytest.mark.usefixtures("many_connections")
def test_a_zone_change_while_a_plan_is_bought_is_tried_again() -> None:
    planning.open_pharmacy()
    order_id = planning.order(PLAN, 1)

    def move() -> None:
        with transaction() as session:
            plans.move_to_zone(session, PHARMACY, "Pacific/Kiritimati")

    def move_again() -> None:
        with pytest.raises(DatabaseBusy):
            move()
        move()

    bought = buying.news(
        Seen.CAPTURED, "pay_1", order_id=order_id, amount_paise=planning.PRICES[PLAN]
    )
    meanwhile(
        lambda session: payments.take_in_payments(session, [bought], actor="test"), move_again
    )

    found = planning.plan()
    assert found.next_grant_at == start_of(found.next_grant_month, "Pacific/Kiritimati")

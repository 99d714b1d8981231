"""`billing forecast`: what is spent a day, and how long the credit will last."""

from datetime import UTC, datetime, timedelta

import pytest

import clock
from billing.ledger import Kind, Posting
from billing.reports import forecast as rule
from billing.reports.forecast import Forecast
from cli.forecast import spark_line
from db.session import transaction
from tests.between import once_read
from tests.billing.given import give, open_account, post_all, take
from tests.cli.runner import run, run_on_terminal

pytestmark = pytest.mark.usefixtures("database")

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
OPENED = NOW - timedelta(days=100)


def forecast() -> Forecast:
    with transaction() as session:
        return rule.forecast(session, "clinic:42")


def open_with(amount: int, *, opened: datetime = OPENED) -> None:
    with clock.frozen(opened):
        open_account()
        post_all(give(amount, key="start"))


def test_rates_of_a_week_and_of_four_weeks_and_what_is_left() -> None:
    # Given 2,800 spent in the week before this, 700 in the last one, and older charges
    open_with(10_000)
    with clock.frozen(NOW):
        post_all(
            take(999, key="old", event_at=NOW - timedelta(days=28, seconds=1)),
            take(2_800, key="a", event_at=NOW - timedelta(days=8)),
            take(700, key="b", event_at=NOW - timedelta(days=2)),
        )
        found = forecast()
    # Then the days left are those at the rate of the last week
    assert (found.per_day_7, found.per_day_28, found.available) == (100, 125, 5_501)
    assert found.days_left == 55.01
    assert found.runs_out_at == NOW + timedelta(days=55.01)


def test_refunds_count_against_charges_and_expiry_is_not_spending() -> None:
    open_with(10_000)
    with clock.frozen(NOW):
        post_all(take(700, key="lead:1:charge"))
        post_all(
            Posting("clinic:42", 350, Kind.LEAD_REFUND, "r", "test", reverses="lead:1:charge"),
            Posting("clinic:42", -1_000, Kind.ADJUSTMENT, "a", "test"),
        )
        assert forecast().per_day_7 == 50


def test_where_the_last_week_spent_nothing_four_weeks_are_looked_at() -> None:
    open_with(1_000)
    with clock.frozen(NOW):
        post_all(take(280, key="a", event_at=NOW - timedelta(days=20)))
        found = forecast()
    assert (found.per_day_7, found.per_day_28, found.days_left) == (0, 10, 72)


def test_a_young_account_is_judged_by_the_days_it_has_lived() -> None:
    open_with(1_000, opened=NOW - timedelta(days=2))
    with clock.frozen(NOW):
        post_all(take(200, key="a"))
        assert forecast().per_day_7 == 100


def test_charges_from_before_an_account_was_opened_count_as_its_life() -> None:
    # Given an account of today, with a lead a day for 20 days that were charged late
    open_with(10_000, opened=NOW)
    with clock.frozen(NOW):
        post_all(
            *[take(100, key=f"{n}", event_at=NOW - timedelta(days=n, hours=1)) for n in range(20)]
        )
        found = forecast()
    # Then the rates are those of the days that the leads came in
    assert found.per_day_7 == 100
    assert found.per_day_28 == pytest.approx(2_000 / (19 + 1 / 24))
    assert found.days_left == 80


def test_a_charge_from_before_the_four_weeks_makes_no_life_longer() -> None:
    open_with(10_000, opened=NOW)
    with clock.frozen(NOW):
        post_all(
            take(999, key="old", event_at=NOW - timedelta(days=40)),
            take(200, key="a", event_at=NOW - timedelta(days=2)),
        )
        assert forecast().per_day_7 == 100


def test_what_the_forecast_leaves_out_is_in_its_help() -> None:
    assert "Expiry is not taken into account" in " ".join(run("forecast", "--help").out.split())


def test_without_spending_nothing_runs_out() -> None:
    open_with(1_000)
    with clock.frozen(NOW):
        found = forecast()
    assert (found.days_left, found.runs_out_at, sum(found.daily)) == (None, None, 0)


def test_days_are_those_of_the_account() -> None:
    # 20:00 in London on the 20th is the 21st already in Kolkata, which is today there
    open_with(1_000)
    with clock.frozen(NOW):
        post_all(
            take(5, key="today", event_at=datetime(2026, 11, 20, 20, tzinfo=UTC)),
            take(7, key="yesterday", event_at=datetime(2026, 11, 20, 18, tzinfo=UTC)),
        )
        daily = forecast().daily
    assert (len(daily), daily[-2:], sum(daily)) == (28, [7, 5], 12)


def test_an_account_in_debt_has_no_days_left() -> None:
    open_with(100)
    with clock.frozen(NOW):
        post_all(Posting("clinic:42", -700, Kind.ADJUSTMENT, "a", "test"))
        post_all(Posting("clinic:42", 650, Kind.TOP_UP, "t", "test"))
        post_all(take(50, key="b"))
        post_all(Posting("clinic:42", -10, Kind.ADJUSTMENT, "c", "test"))
        assert forecast().days_left == 0


def test_the_command_prints_a_table_or_json() -> None:
    open_with(1_000)
    with clock.frozen(NOW):
        post_all(take(70, key="a"))
        found = run("forecast", "clinic:42", "--json").json
        table = run_on_terminal("forecast", "clinic:42").out
        piped = run("forecast", "clinic:42").out
    assert (found["per_day_7"], found["days_left"], found["daily"][-1]) == (10.0, 93.0, 70)
    assert "days left" in table
    assert "last 28 days" in table
    assert "last 28 days" not in piped  # only a terminal gets the bars
    assert "unknown account" in run("forecast", "clinic:1").error


def test_a_spark_line_has_a_bar_for_each_value() -> None:
    assert spark_line([0, 1, 4, 8, -3]) == " ▂▅█ "
    assert spark_line([0, 0]) == "  "


def test_what_is_spent_while_one_asks_is_neither_available_nor_in_the_rate() -> None:
    open_with(1_000)
    with clock.frozen(NOW):
        post_all(take(70, key="before"))
        with once_read("accounts", lambda: post_all(take(700, key="meanwhile"))):
            shown = run("forecast", "clinic:42", "--json").json

    assert (shown["available"], shown["per_day_7"]) == (930, 10)

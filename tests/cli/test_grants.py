"""`billing grants run`: what is due, granting it, and what it says."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

import clock
from billing.plans import month_name
from billing.plans.calendar import month_of, months_before, start_of
from tests.billing.given import assert_ledger_is_clean, rows
from tests.billing.plans import given as planning
from tests.billing.plans.given import KOLKATA, MONTHLY
from tests.cli.runner import run, run_on_terminal
from tests.conftest import owner

pytestmark = pytest.mark.usefixtures("database", "redis")

NUMBER = 3
NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
THIS = month_of(NOW, KOLKATA)
LAST, THIS_NAME = month_name(months_before(THIS, 1)), month_name(THIS)


@pytest.fixture(autouse=True)
def due(database: str) -> Iterator[None]:
    """Some accounts to which this month and the last are due; no other begins meanwhile."""
    bought_at = start_of(months_before(THIS, 2), KOLKATA) + timedelta(days=3)
    with clock.frozen(NOW):
        planning.open_many(NUMBER, bought_at=bought_at)
        yield


def granted() -> object:
    return rows("SELECT count(*) FROM credit_transactions")[0][0]


def test_a_dry_run_says_what_is_due_and_changes_nothing() -> None:
    found = run("grants", "run", "--dry-run", "--json").json

    assert found == [
        {"month": name, "would_grant": NUMBER, "would_withhold": 0, "credits": NUMBER * MONTHLY}
        for name in (LAST, THIS_NAME)
    ]
    assert granted() == 0


def test_a_run_grants_all_that_is_due_and_the_next_one_nothing() -> None:
    first = run("grants", "run", "--alone", "--json").json
    again = run("grants", "run", "--json").json

    assert (first["granted"], first["credits"]) == (2 * NUMBER, 2 * NUMBER * MONTHLY)
    assert first["months"] == [
        {"month": name, "granted": NUMBER, "withheld": 0} for name in (LAST, THIS_NAME)
    ]
    assert (first["accounts"], first["accounts_left"]) == (NUMBER, 0)
    assert (again["granted"], again["months"], granted()) == (0, [], 2 * NUMBER)
    assert_ledger_is_clean()


def test_a_run_for_a_month_leaves_the_later_ones() -> None:
    found = run("grants", "run", "--month", LAST, "--alone", "--json").json

    assert [one["month"] for one in found["months"]] == [LAST]
    assert run("grants", "run", "--dry-run", "--json").json[0]["month"] == THIS_NAME


def test_a_month_that_has_not_begun_brings_nothing_more() -> None:
    found = run("grants", "run", "--month", "2999-12", "--alone", "--json").json

    assert [one["month"] for one in found["months"]] == [LAST, THIS_NAME]


def test_people_get_tables() -> None:
    preview = run_on_terminal("grants", "run", "--dry-run").out
    done = run_on_terminal("grants", "run", "--alone").out

    assert THIS_NAME in preview
    assert "would grant" in preview
    assert "accounts left" in done
    assert run_on_terminal("grants", "run", "--dry-run").out == "No month is due for any account.\n"


@pytest.mark.parametrize("name", ["2026-13", "november", "2026-1", "26-11", "2026-11-01", ""])
def test_what_is_no_month_is_wrong_usage(name: str) -> None:
    ran = run("grants", "run", "--month", name)

    assert ran.exit_code == 2
    assert "must be a month such as 2026-11" in ran.err
    assert granted() == 0


def test_an_account_that_cannot_be_reckoned_with_is_named() -> None:
    with owner() as connection:
        connection.exec_driver_sql(
            "UPDATE accounts SET timezone = 'Mars/Olympus' WHERE ref = 'pharmacy:many-2'"
        )

    due = run("grants", "run", "--dry-run", "--json").json
    listed = run("plans", "list", "--json").json
    found = run("grants", "run", "--alone")

    assert [one["would_grant"] for one in due] == [NUMBER - 1] * 2
    assert [one["would_withhold"] for one in due] == [1, 0]
    assert len(listed) == NUMBER
    assert found.exit_code == 1
    assert "cannot compute the grants of 1 accounts" in found.err
    assert "pharmacy:many-2" in found.err
    assert "Mars/Olympus" in found.err
    assert granted() == 2 * (NUMBER - 1)

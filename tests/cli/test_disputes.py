"""`billing disputes` and `billing quality`, and what `accounts show` tells of a review."""

import json
from collections.abc import Iterator

import pytest
import structlog
from redis import Redis

from tasks.disputes import door as tasks
from tests.billing.disputes.given import charge, dispute, dispute_all
from tests.billing.given import assert_ledger_is_clean, balance, rows
from tests.cli.runner import Ran, give, open_clinic, run, run_on_terminal

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """The command silences what a nudge would log, for its own process."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def clinic(database: str) -> None:
    open_clinic()
    give("1000")
    charge("L-1")


def opened(lead_id: str = "L-1", *more: str) -> Ran:
    return run(
        "disputes", "open", lead_id, "--account", "clinic:42", "--type", "spam",
        "--description", "a robot", "--actor", "ops", "--json", *more,
    )  # fmt: skip


def resolved(what: str, id_: object, *more: str) -> Ran:
    return run("disputes", what, str(id_), "--notes", "called", "--actor", "ops", "--json", *more)


def test_a_dispute_is_opened_with_its_line_and_once_for_a_key() -> None:
    ran = opened("L-1", "--key", "k", "--evidence", '{"calls": 2}')
    again = opened("L-1", "--key", "k", "--evidence", '{"calls": 2}')

    shown = ran.json
    assert ran.err == "Dispute created: Lead L-1, Type spam\n"
    assert {name: shown[name] for name in ("lead_id", "account", "type", "state", "repeated")} == {
        "lead_id": "L-1",
        "account": "clinic:42",
        "type": "spam",
        "state": "pending",
        "repeated": False,
    }
    assert (again.json["dispute_id"], again.json["repeated"], again.err) == (
        shown["dispute_id"], True, "",
    )  # fmt: skip


def test_a_dispute_is_shown_in_full_to_machines_and_people() -> None:
    id_ = opened("L-1", "--evidence", '{"calls": [2, "é"]}').json["dispute_id"]

    shown = run("disputes", "show", str(id_), "--json").json
    assert (shown["description"], shown["evidence"], shown["opened_by"], shown["notes"]) == (
        "a robot", {"calls": [2, "é"]}, "ops", None,
    )  # fmt: skip
    assert '{"calls": [2, "é"]}' in run("disputes", "show", str(id_)).out


def test_an_approval_gives_credit_back_and_has_a_parked_lead_released(redis: Redis) -> None:
    charge("L-2", "L-3", "L-4", "L-5", "L-6")
    id_ = dispute("L-1")
    assert balance() == 100

    ran = resolved("approve", id_)

    assert ran.err == f"Refund processed: Dispute {id_}, Amount 180\n"
    assert (ran.json["state"], ran.json["credits_refunded"], ran.json["resolved_by"]) == (
        "approved", 180, "ops",
    )  # fmt: skip
    assert balance() == 280
    [message] = redis.lrange("schedule", 0, -1)
    assert json.loads(message)["headers"]["task"] == "tasks.leads.release"
    assert_ledger_is_clean()


def test_a_part_is_approved() -> None:
    ran = resolved("approve", dispute(), "--amount", "80")
    assert (ran.json["state"], ran.json["credits_refunded"]) == ("partially_approved", 80)
    assert "Amount 80\n" in ran.err


@pytest.mark.parametrize(("what", "state"), [("reject", "rejected"), ("withdraw", "withdrawn")])
def test_what_gives_nothing_back_says_so_by_its_state(what: str, state: str) -> None:
    ran = resolved(what, dispute())
    assert (ran.json["state"], ran.json["credits_refunded"], ran.err) == (state, 0, "")
    assert balance() == 820


def test_the_second_of_two_operators_is_told_who_was_first() -> None:
    id_ = dispute()
    resolved("approve", id_)
    for what in ("approve", "reject", "withdraw"):
        ran = resolved(what, id_)
        assert ran.error == f"dispute {id_} is already approved, by ops: nothing was changed"


def test_disputes_are_listed_newest_first_by_state_and_account() -> None:
    open_clinic("clinic:7")
    give("1000", "clinic:7")
    charge("L-7", account="clinic:7")
    first, second = dispute(), dispute("L-7", account="clinic:7")
    resolved("reject", first)

    def ids(*options: str) -> list[int]:
        return [d["dispute_id"] for d in run("disputes", "list", *options, "--json").json]

    assert ids() == [second, first]
    assert ids("--state", "pending") == [second]
    assert ids("--account", "clinic:42") == [first]
    assert ids("--limit", "1") == [second]
    assert "unknown account" in run("disputes", "list", "--account", "clinic:9").error
    assert "No disputes match" in run_on_terminal("disputes", "list", "--state", "approved").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "17"), "there is no dispute 17"),
        (("approve", "17", "--notes", "x", "--actor", "ops"), "there is no dispute 17"),
        (("approve", "1", "--notes", " ", "--actor", "ops"), "notes must not be empty"),
        (("reject", "1", "--notes", "x", "--actor", ""), "actor must not be empty"),
        (("approve", "1", "--amount", "0", "--notes", "x", "--actor", "ops"), "amount must be"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    assert message in run("disputes", *arguments).error


def test_a_lead_that_cannot_be_disputed_is_one_line() -> None:
    assert "unknown lead 'L-9'" in opened("L-9").error


@pytest.mark.parametrize(
    "arguments",
    [
        ("approve", "1", "--actor", "ops"),
        ("reject", "1", "--actor", "ops"),
        ("withdraw", "1"),
        ("show", "0"),
        ("show", "9" * 19),
        ("open", "L-1", "--account", "clinic:42", "--type", "spam", "--description", "x",
         "--actor", "ops", "--evidence", "{"),
    ],
)  # fmt: skip
def test_wrong_usage_is_exit_2(arguments: tuple[str, ...]) -> None:
    assert run("disputes", *arguments).exit_code == 2


def test_scores_are_listed_and_shown_and_an_account_under_review_says_why() -> None:
    give("10000")
    ids = [f"S-{n}" for n in range(19)]
    charge(*ids, source="ads")
    dispute_all(ids[:16])
    tasks.score.run()

    account, source = run("quality", "list", "--json").json
    assert account.pop("computed_at") == source.pop("computed_at")
    assert account == {
        "kind": "account", "subject": "clinic:42", "leads": 20, "disputes": 16,
        "rate_percent": "80.0", "grade": "poor", "needs_review": True,
    }  # fmt: skip
    assert (source["subject"], source["leads"], source["grade"], source["needs_review"]) == (
        "ads", 19, None, False,
    )  # fmt: skip
    assert run("quality", "show", "clinic:42", "--json").json["rate_percent"] == "80.0"
    assert run("quality", "show", "ads", "--kind", "source", "--json").json["disputes"] == 16
    assert len(run("quality", "list", "--review", "--json").json) == 1
    assert len(run("quality", "list", "--kind", "source", "--json").json) == 1
    assert "80.0" in run("quality", "list").out
    shown = run("accounts", "show", "clinic:42", "--json").json
    assert shown["review_reason"] == "disputes_most_leads"


def test_a_score_that_is_not_there_yet_says_when_it_will_be() -> None:
    assert "once an hour" in run("quality", "show", "clinic:42").error
    assert "No scores match" in run_on_terminal("quality", "list").out
    assert rows("SELECT count(*) FROM quality_scores") == [(0,)]

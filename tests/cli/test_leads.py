"""`billing leads show|release|cancel` and `billing alerts list`."""

import json
from collections.abc import Iterator

import pytest
import structlog
from redis import Redis

from billing.leads import LeadRequest, charge_leads
from db.session import transaction
from tasks.plumbing import nudges
from tests.billing.given import post_all, rows, take
from tests.cli.runner import give, open_clinic, process, run, run_on_terminal

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """The command silences what a nudge would log, for its own process."""
    yield
    structlog.reset_defaults()


def park(lead_id: str, price: int = 100_000) -> None:
    """A lead of 100 credits on an account without credit."""
    request = LeadRequest(lead_id=lead_id, account="clinic:42", package_price_paise=price)
    with transaction() as session:
        charge_leads(session, [request], actor="test")


def listed(state: str) -> list[str]:
    return [lead["lead_id"] for lead in run("leads", "list", "--state", state, "--json").json]


def test_a_parked_lead_is_released_by_name() -> None:
    open_clinic()
    park("L-1")
    park("L-2")
    give("150")
    released = run("leads", "release", "L-2", "--actor", "ops", "--json").json
    assert released == {
        "lead_id": "L-2", "account": "clinic:42", "state": "charged", "credits": 100,
    }  # fmt: skip
    assert (listed("charged"), listed("parked")) == (["L-2"], ["L-1"])


def test_without_credit_a_release_says_what_is_missing() -> None:
    open_clinic()
    park("L-1")
    ran = run("leads", "release", "L-1", "--actor", "ops")
    assert ran.error == "account 'clinic:42' has 0 credits available and 100 are needed"
    assert listed("parked") == ["L-1"]


def test_a_cancelled_lead_says_why_in_the_audit_log() -> None:
    open_clinic()
    park("L-1")
    cancelled = run("leads", "cancel", "L-1", "--reason", "patient went elsewhere", "--json").json
    assert cancelled == {"lead_id": "L-1", "state": "cancelled"}
    assert listed("cancelled") == ["L-1"]
    entry = run("audit-log", "--subject", "lead:L-1", "--json").json[0]
    assert (entry["action"], entry["after"]) == (
        "lead.cancelled", {"state": "cancelled", "reason": "patient went elsewhere"},
    )  # fmt: skip
    assert "is cancelled, not parked" in run("leads", "cancel", "L-1", "--reason", "x").error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("release", "none", "--actor", "ops"), "unknown lead 'none'"),
        (("cancel", "none", "--reason", "why"), "unknown lead 'none'"),
        (("cancel", "L-1", "--reason", " "), "what an auditor will read"),
        (("release", "L-1", "--actor", ""), "actor"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    open_clinic()
    park("L-1")
    assert message in run("leads", *arguments).error
    assert listed("parked") == ["L-1"]


def test_alerts_are_listed_newest_first_with_the_level_of_now() -> None:
    open_clinic()
    give("1000")
    post_all(take(600, key="a"))
    post_all(take(400, key="b"))
    give("2000", "clinic:42", "--key", "more")
    found = run("alerts", "list", "--json").json
    assert [(a["alert"], a["balance"], a["level_now"]) for a in found] == [
        ("balance.recovered", 2_000, "ok"),
        ("balance.exhausted", 0, "ok"),
        ("balance.low", 400, "ok"),
    ]
    assert run("alerts", "list", "--account", "clinic:42", "--json").json == found
    assert "balance.low" in run("alerts", "list").out
    assert "unknown account" in run("alerts", "list", "--account", "clinic:1").error


def test_no_alerts_are_said_to_be_none() -> None:
    assert run_on_terminal("alerts", "list").out == "No alerts.\n"
    assert run("alerts", "list", "--json").json == []
    assert rows("SELECT count(*) FROM outbox_events") == [(0,)]


def test_a_lead_is_shown_with_its_account_and_state() -> None:
    open_clinic()
    give("1000")
    with transaction() as session:
        request = LeadRequest(lead_id="L-1", account="clinic:42", package_price_paise=600_000)
        charge_leads(session, [request], actor="test")

    shown = run("leads", "show", "L-1", "--json").json

    assert (shown["lead_id"], shown["account"]) == ("L-1", "clinic:42")
    assert (shown["state"], shown["credits"], shown["conflicts"]) == ("charged", 180, 0)
    assert "clinic:42" in run("leads", "show", "L-1").out


@pytest.mark.parametrize("lead_id", ["L-unknown", "", "x" * 1_000, "a\nb"])
def test_a_lead_that_is_not_there_is_one_line(lead_id: str) -> None:
    assert "there is no lead" in run("leads", "show", lead_id).error


def test_credit_by_hand_has_a_worker_release_parked_leads_at_once(redis: Redis) -> None:
    open_clinic()
    park("L-1")
    give("99")
    assert redis.llen("schedule") == 0  # nothing is covered yet
    run("accounts", "set", "clinic:42", "--overdraft-limit", "1")
    message = json.loads(str(redis.lrange("schedule", 0, -1)[0], "utf-8"))  # type: ignore[arg-type]
    assert message["headers"]["task"] == "tasks.leads.release"


def test_credit_by_hand_is_given_where_redis_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nudges, "_redis", Redis.from_url("redis://127.0.0.1:1/0"))
    open_clinic()
    park("L-1")
    ran = give("100")
    assert (ran.exit_code, ran.err) == (0, "")


def test_credit_by_hand_is_given_where_settings_that_it_does_not_need_are_wrong() -> None:
    open_clinic()
    park("L-1")
    wrong = {"REDIS_URL": "http://:s3cr3t-pass@broker", "API_KEYS": "s3cr3t-pass"}

    ran = process(
        "credit", "clinic:42", "100", "--reason", "x", "--actor", "ops", environment=wrong
    )

    assert (ran.exit_code, ran.err) == (0, "")
    shown = process("balance", "clinic:42", "--json", environment=wrong)
    assert shown.json["balance"] == 100


def test_conflicts_are_listed_with_the_account_that_asked() -> None:
    open_clinic()
    open_clinic("clinic:43")
    park("L-1")
    with transaction() as session:
        other = LeadRequest(lead_id="L-1", account="clinic:43", package_price_paise=100_000)
        charge_leads(session, [other], actor="test")
    found = run("leads", "list", "--state", "conflict", "--json").json
    assert [(c["lead_id"], c["account"], c["state"], c["credits"]) for c in found] == [
        ("L-1", "clinic:43", "conflict", 0)
    ]


def test_a_release_by_hand_tells_operators_what_a_worker_would() -> None:
    open_clinic()
    park("L-1")
    give("100")
    ran = run("leads", "release", "L-1", "--actor", "ops")
    assert ran.err == "Credit deduction: Clinic 42, Amount 100\n"

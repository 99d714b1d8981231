"""`billing status` and `billing doctor`: one screen, one exit code, and a remedy for everything."""

import json
from datetime import timedelta
from typing import Any

import pytest

import clock
from cli import doctor
from cli.examinations.diagnosis import well
from db import deliveries
from db.deliveries import NewEvent
from db.session import transaction
from devstack import ports
from tasks.plumbing import tick_marks
from tests.cli.runner import Ran, run, run_on_terminal

pytestmark = pytest.mark.usefixtures("database", "redis")


def ticks_come() -> None:
    for task in tick_marks.PERIODS:
        tick_marks._redis.hset(tick_marks.KEY, task, clock.real_now().isoformat())


def findings(ran: Ran) -> dict[str, dict[str, Any]]:
    return {finding["what"]: finding for finding in json.loads(ran.out)["findings"]}


def test_all_is_well_is_exit_0() -> None:
    ticks_come()

    ran = run("status", "--json")

    assert (ran.exit_code, ran.json["level"]) == (0, "well")
    assert {(f["level"], f["count"]) for f in ran.json["findings"]} == {("well", 0)}
    shown = run_on_terminal("status")
    off = "Mail is off: SMTP_URL is not set.\n"
    assert (shown.exit_code, shown.out) == (0, f"Nothing waits.\n\n{off}\nAll is well.\n")


def test_what_needs_attention_is_exit_1_and_names_the_command() -> None:
    ticks_come()
    with transaction() as session:
        deliveries.record(session, [NewEvent("leads", "m", b"{}", clock.now())])
    with clock.frozen(clock.now() + timedelta(minutes=5)):
        ticks_come()
        ran, shown = run("status", "--json"), run_on_terminal("status", width=80)

    assert (ran.exit_code, json.loads(ran.out)["level"]) == (1, "attention")
    assert findings(ran)["events_waiting"] == {
        "what": "events_waiting", "level": "attention", "count": 1, "oldest_seconds": 300,
        "look": "see that the workers run; billing inbox list --state pending",
    }  # fmt: skip
    assert shown.exit_code == 1
    assert "5m" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80


def test_no_ticks_at_all_is_broken_and_a_few_late_ones_need_attention() -> None:
    tick_marks._redis.delete(tick_marks.KEY)
    late = findings(run("status", "--json"))["ticks_late"]
    assert (late["level"], late["count"] > 5) == ("broken", True)

    ticks_come()
    with clock.frozen(clock.real_now() + timedelta(hours=3)):
        ran = run("status", "--json")
    assert (ran.exit_code, findings(ran)["ticks_late"]["level"]) == (2, "broken")


def test_a_server_that_does_not_answer_is_broken_and_not_an_error() -> None:
    gone = f"127.0.0.1:{ports.find_free()}"
    ran = run("status", "--json", environment={"DATABASE_URL": f"postgresql://x@{gone}/billing"})
    assert (ran.exit_code, ran.err) == (2, "")
    assert findings(ran)["database_unreachable"]["level"] == "broken"


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("DATABASE_URL", "mysql://ops:s3cr3t-pass@db/billing", "database_unusable"),
        ("REDIS_URL", "http://:s3cr3t-pass@broker", "redis_unreachable"),
    ],
)
def test_an_address_that_makes_no_sense_is_broken_and_hides_nothing_else(
    variable: str, value: str, what: str
) -> None:
    ticks_come()
    ran = run("status", "--json", environment={variable: value})

    assert (ran.exit_code, ran.err) == (2, "")
    broken = [f for f in findings(ran).values() if f["level"] == "broken"]
    assert [f["what"] for f in broken] == [what]
    assert variable in broken[0]["look"]
    assert "s3cr3t" not in ran.out


def test_the_doctor_finds_a_sound_house_without_faults() -> None:
    ran = run("doctor", "--json")

    found = findings(ran)
    assert ran.exit_code in (0, 1)
    assert [f for f in found.values() if f["level"] == "broken"] == []
    assert {"settings", "database", "schema", "limits", "roles", "clocks", "redis"} <= found.keys()
    assert all(f["remedy"] for f in found.values() if f["level"] != "well")


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("BILLING_TIMEZONE", "Kolkata", "BILLING_TIMEZONE"),
        ("DATABASE_URL", "mysql://ops:s3cr3t-pass@db/billing", "DATABASE_URL"),
        ("LEAD_WEBHOOK_SECRETS", "s3cr3t-pass", "LEAD_WEBHOOK_SECRETS"),
        ("API_PORT", "http", "ports"),
        ("API_PORT", "8000", "ports"),
        ("FLOWER_BASIC_AUTH", "ops:s3cr3t", "flower"),
        ("BILLING_CATALOG", "/nonexistent/catalog.toml", "catalog"),
        ("REDIS_URL", "redis://:s3cr3t-pass@127.0.0.1:1/0", "redis"),
    ],
)
def test_the_doctor_names_what_is_wrong_and_what_to_do(
    variable: str, value: str, what: str
) -> None:
    environment = {variable: value, "RECEIVER_PORT": "8000"}
    ran = run("doctor", "--json", environment=environment)

    assert (ran.exit_code, ran.err) == (2, "")
    assert findings(ran)[what]["level"] == "broken"
    assert findings(ran)[what]["remedy"]
    assert "s3cr3t" not in ran.out
    # And what needs no wrong setting is examined all the same
    assert {"ports", "database"} <= findings(ran).keys() | {variable.partition("_")[0].lower()}


def test_the_doctor_says_which_doors_nobody_can_pass() -> None:
    nobody = {"LEAD_WEBHOOK_SECRETS": None, "API_KEYS": None, "RAZORPAY_KEY_ID": None,
              "RAZORPAY_KEY_SECRET": None, "STRIPE_API_KEY": None}  # fmt: skip
    found = findings(run("doctor", "--json", environment=nobody))

    for door in ("leads", "api keys", "gateways"):
        assert found[door]["level"] == "attention"


def test_the_doctors_findings_fit_a_narrow_terminal() -> None:
    shown = run_on_terminal("doctor", width=80)
    assert max(map(len, shown.out.splitlines())) <= 80


def test_a_doctor_who_finds_all_well_says_so_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_examine", lambda: iter([well("redis", "answers")]))
    ran = run("doctor")
    assert (ran.exit_code, ran.out.splitlines()) == (
        0,
        ["level\twhat\tdetail", "well\tredis\tanswers"],
    )

"""Calls as rows: charged like the webhook's events, refused with index and reason, never lost."""

import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from celery.exceptions import Reject

import clock
from db import inbox_operations
from db.connections import engine
from db.session import transaction
from service.disclosure import fingerprint
from tasks.inbox import recorder
from tasks.leads import calls
from tests.billing.given import assert_ledger_is_clean, balance, open_account, rows
from tests.tasks.given import deliver, inbox_rows, lead_event, work

pytestmark = pytest.mark.usefixtures("database")

LEAD: dict[str, Any] = {"lead_id": "L-1", "account": "clinic:42", "package_price_paise": 600_000}
PRIVATE = "Asha 98765 43210 asha@example.org"


@pytest.fixture(autouse=True)
def clinic(database: str) -> None:
    open_account(credits_=200_000)


def call(*args: Any, task: str = "charge", task_id: str = "call-1", **kwargs: Any) -> None:
    """What the task does with a call, up to the commit."""
    recorder.record(calls.read(f"tasks.leads.{task}", task_id, args, kwargs))


def errors() -> list[tuple[str, str]]:
    """(event id, error) of every dead row."""
    found = rows("SELECT event_id, last_error FROM inbound_events WHERE state = 'dead' ORDER BY id")
    return [(str(event_id), str(error)) for event_id, error in found]


def test_a_call_is_charged_as_the_webhooks_event_is() -> None:
    call(**LEAD, source="google-ads", occurred_at="2026-11-20T10:00:00+05:30")
    work("lead_calls")

    assert inbox_rows() == [("done", "charged", "lead.created", None)]
    assert balance() == 200_000 - 180
    assert rows("SELECT actor FROM credit_transactions WHERE lead_id = 'L-1'") == [
        ("celery:leads",)
    ]
    assert rows("SELECT source, occurred_at FROM lead_charges") == [
        ("google-ads", datetime(2026, 11, 20, 4, 30, tzinfo=UTC))
    ]


def test_a_lead_by_both_doors_is_charged_once() -> None:
    deliver(lead_event("L-1"))
    work("leads")
    call(**LEAD)
    work("lead_calls")

    assert [row[1] for row in inbox_rows()] == ["charged", "repeated"]
    assert balance() == 200_000 - 180


def test_a_lead_without_a_time_happened_when_its_call_was_recorded() -> None:
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    with clock.frozen(at):
        call(**LEAD)
        work("lead_calls")

    assert rows("SELECT occurred_at FROM lead_charges") == [(at,)]


def test_a_message_that_comes_twice_is_one_row_however_late_and_however_written() -> None:
    call(**LEAD)
    time.sleep(0.01)
    call("L-1", "clinic:42", 600_000)
    call("L-1", package_price_paise=600_000, account="clinic:42")

    assert rows("SELECT event_id FROM inbound_events") == [("call-1",)]


def test_of_1000_leads_with_three_bad_ones_997_are_charged_and_three_told_by_index() -> None:
    # Given a call with three leads that cannot be billed, each for another reason
    many: list[Any] = [{**LEAD, "lead_id": f"L-{number}"} for number in range(1_000)]
    many[17] = {**many[17], "package_price_paise": PRIVATE}
    many[500] = {**many[500], "account": "clinic:unknown"}
    many[999] = [PRIVATE]
    # When it is recorded and worked on
    started = time.monotonic()
    call(many, task="charge_many")
    recorded = time.monotonic()
    work("lead_calls")
    # Then all others are charged, and the bad ones are dead with index and reason
    assert balance() == 200_000 - 997 * 180
    assert rows("SELECT count(*) FROM lead_charges WHERE state = 'charged'") == [(997,)]
    assert errors() == [
        (
            "call-1:17",
            "lead 17 of the call: UnreadableEvent: data.package_price_paise: Input should be a"
            " valid integer",
        ),
        (
            "call-1:500",
            "lead 500 of the call: UnknownAccount: unknown account"
            f" {fingerprint('clinic:unknown')}: create it with `billing accounts create`",
        ),
        ("call-1:999", "lead 999 of the call: UnreadableEvent: data: Input should be an object"),
    ]
    assert recorded - started < 2
    assert_ledger_is_clean()
    # And the same message again changes nothing
    call(leads=many, task="charge_many")
    assert rows("SELECT count(*) FROM inbound_events") == [(1_000,)]


def test_a_conflict_within_a_call_names_its_index() -> None:
    call(leads=[LEAD, {**LEAD, "package_price_paise": 1}], task="charge_many")
    work("lead_calls")

    [(event_id, error)] = errors()
    assert event_id == "call-1:1"
    assert error.startswith("lead 1 of the call: IdempotencyConflict: its key was recorded before")


@pytest.mark.parametrize(
    ("task", "args", "kwargs", "reason"),
    [
        ("charge", (), {}, "data.lead_id: Field required; data.account: Field required"),
        ("charge", ("L-1", "clinic:42"), {}, "data.package_price_paise: Field required"),
        ("charge", (), {**LEAD, PRIVATE: 1}, "RefusedCall: 1 unknown arguments; known are lead_id"),
        ("charge", (), {**LEAD, "self": PRIVATE}, "RefusedCall: 1 unknown arguments"),
        ("charge", (PRIVATE,) * 6, {}, "RefusedCall: 6 arguments; at most 5"),
        ("charge", (PRIVATE,), LEAD, "RefusedCall: lead_id: given both by position and by name"),
        ("charge", (), {**LEAD, "account": [PRIVATE]}, "data.account: Input should be a valid str"),
        ("charge_many", (), {}, "RefusedCall: leads: must be a list of leads"),
        ("charge_many", (PRIVATE,), {}, "RefusedCall: leads: must be a list of leads"),
        ("charge_many", ({"lead": PRIVATE},), {}, "RefusedCall: leads: must be a list of leads"),
        ("charge_many", ([], PRIVATE), {}, "RefusedCall: 2 arguments; at most 1"),
        ("charge_many", ([PRIVATE],), {}, "lead 0 of the call: UnreadableEvent: data: Input"),
        ("charge_many", ([LEAD] * 10_001,), {}, "leads: 10001 leads in one call; at most 10000"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_call_that_cannot_be_bound_is_one_dead_row_with_the_reason(
    task: str, args: tuple[Any, ...], kwargs: dict[str, Any], reason: str
) -> None:
    for _ in range(2):  # a message may come twice
        call(*args, task=task, **kwargs)
    work("lead_calls")

    [(_, error)] = errors()
    assert reason in error
    assert "98765" not in error
    assert "asha" not in error.lower()
    assert balance() == 200_000


def test_a_call_without_leads_is_nothing() -> None:
    call(leads=[], task="charge_many")
    assert inbox_rows() == []


def test_what_was_refused_is_kept_for_who_looks_and_refused_again_when_replayed() -> None:
    call(**LEAD, sorce="typo")
    [(id_, body)] = rows("SELECT id, convert_from(body, 'UTF8') FROM inbound_events")
    assert json.loads(str(body))["call"]["kwargs"]["sorce"] == "typo"

    with transaction() as session:
        inbox_operations.replay(session, [int(str(id_))], now=clock.now())
    work("lead_calls")

    assert "data: Field required" in errors()[0][1]
    assert balance() == 200_000


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


HOSTILE = [
    (float("nan"), "package_price_paise"),
    (float("inf"), "package_price_paise"),
    (10**4_000, "package_price_paise"),
    (10**5_000, "cannot be written as JSON"),
    (1.5, "package_price_paise"),
    (True, "package_price_paise"),
    ("600000", "package_price_paise"),
    ("\ud800", "Invalid JSON"),
    (b"600000", "package_price_paise: Input should be a valid integer"),
    (Decimal(600_000), "package_price_paise: Input should be a valid integer"),
    (nested(150), "package_price_paise"),
    (nested(5_000), "nested too deeply"),
    ("x" * 2_000_000, "bytes; at most 1048576"),
]


@pytest.mark.parametrize(("value", "reason"), HOSTILE, ids=lambda value: repr(type(value)))
def test_a_hostile_value_is_one_dead_row_and_costs_nobody_else(value: Any, reason: str) -> None:
    call(**{**LEAD, "package_price_paise": value})
    bad = {**LEAD, "lead_id": "L-2", "package_price_paise": value}
    call(leads=[LEAD, bad, {**LEAD, "lead_id": "L-3"}], task="charge_many", task_id="call-2")
    work("lead_calls")

    (alone, first), (indexed, second) = sorted(errors())
    assert (alone, indexed) == ("call-1", "call-2:1")
    assert reason in first
    assert reason in second
    assert second.startswith("lead 1 of the call: ")
    assert balance() == 200_000 - 2 * 180


def test_celerys_own_forms_of_times_and_uuids_are_read() -> None:
    lead_id = UUID("6a1f0d2c-58d5-4d3f-9f0a-0b8a3f4f7c11")
    call(**{**LEAD, "lead_id": lead_id, "occurred_at": datetime(2026, 11, 20, tzinfo=UTC)})
    work("lead_calls")

    assert rows("SELECT lead_id, occurred_at FROM lead_charges") == [
        (str(lead_id), datetime(2026, 11, 20, tzinfo=UTC))
    ]


@pytest.mark.parametrize("task_id", ["a\x00b", "\ud800", "x" * 5_000, "", " "])
def test_a_task_id_that_cannot_be_kept_costs_no_lead(task_id: str) -> None:
    for _ in range(2):
        call(**LEAD, task_id=task_id)
    work("lead_calls")

    [(event_id,)] = rows("SELECT event_id FROM inbound_events")
    assert str(event_id).startswith("sha256:")
    assert balance() == 200_000 - 180


def test_without_postgresql_the_call_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "PATIENCE_SECONDS", 1)
    attempts: list[float] = []

    def refuse(*_: object, **__: object) -> None:
        attempts.append(time.monotonic())
        raise psycopg2.OperationalError("nobody there")

    monkeypatch.setattr(engine(), "raw_connection", refuse)

    with pytest.raises(Reject) as caught:
        recorder.record_or_requeue(calls.read("tasks.leads.charge", "call-1", (), LEAD))

    assert caught.value.requeue
    assert 2 <= len(attempts) <= 6

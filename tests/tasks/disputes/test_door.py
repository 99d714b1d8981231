"""Disputes by Celery: a call is a row, opened once by a drain; what was written shows nowhere."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from redis import Redis

import clock
from db import inbox, inbox_operations
from db.session import transaction
from service.disclosure import fingerprint
from tasks.disputes import calls
from tasks.drain import work_one_batch
from tasks.inbox import recorder
from tasks.plumbing import nudges
from tests.billing.disputes.given import charge, states
from tests.billing.given import open_account, rows
from tests.stack_process import eventually
from tests.tasks.given import inbox_rows, work
from tests.worker_process import WorkerProcess
from worker.app import app

pytestmark = pytest.mark.usefixtures("database")

PRIVATE = "Asha 98765 43210 asha@example.org"
DISPUTE: dict[str, Any] = {
    "lead_id": "L-1", "account": "clinic:42", "dispute_type": "wrong_number",
    "description": PRIVATE, "evidence": {"heard": [PRIVATE]},
}  # fmt: skip
SOURCE = calls.SOURCE


@pytest.fixture(autouse=True)
def clinic(database: str) -> None:
    open_account(credits_=200_000)
    open_account("clinic:7", credits_=200_000)
    charge("L-1", "L-2", "L-3")
    charge("L-7", account="clinic:7")


def call(*args: Any, task_id: str = "call-1", **kwargs: Any) -> None:
    """What the task does with a call, up to the commit."""
    recorder.record(calls.read(task_id, args, kwargs))


def log_lines() -> list[str]:
    """Work on the batch that is due; return the lines operators get."""
    with transaction() as session:
        lease = inbox.lease(session, SOURCE, now=clock.now())
    assert lease is not None
    with transaction() as session:
        events = inbox.load_leased(session, lease)
        outcome = calls.handle(session, events)
        inbox.finish(session, outcome.ends(), now=clock.now())
    return [line.text for line in outcome.log_lines()]


def errors() -> list[str]:
    found = rows("SELECT last_error FROM inbound_events WHERE state = 'dead' ORDER BY id")
    return [str(error) for (error,) in found]


def test_a_call_opens_a_dispute_and_tells_operators_once() -> None:
    call(**DISPUTE)
    assert log_lines() == ["Dispute created: Lead L-1, Type wrong_number"]

    assert inbox_rows() == [("done", "opened", "dispute.requested", None)]
    assert rows("SELECT lead_id, state, type, description, evidence, opened_by, request_key"
                " FROM lead_disputes") == [
        ("L-1", "pending", "wrong_number", PRIVATE, {"heard": [PRIVATE]}, "celery:disputes",
         "clinic:42:call:call-1")
    ]  # fmt: skip
    assert rows("SELECT actor, door FROM billing_audit_log WHERE action = 'dispute.opened'") == [
        ("celery:disputes", "celery")
    ]


def test_a_message_that_comes_twice_is_one_row() -> None:
    call(**DISPUTE)
    call(*DISPUTE.values())
    work(SOURCE)
    call(**DISPUTE)
    work(SOURCE)

    assert inbox_rows() == [("done", "opened", "dispute.requested", None)]


def test_a_request_id_is_one_dispute_whatever_the_messages_are_called() -> None:
    call(**DISPUTE, request_id="r-1", task_id="a")
    call(**DISPUTE, request_id="r-1", task_id="b")
    work(SOURCE)
    # And so it is in another form, which is another delivery
    call(**{**DISPUTE, "request_id": "r-1", "evidence": {"heard": (PRIVATE,)}}, task_id="c")
    call(request_id="r-1", **dict(reversed(DISPUTE.items())), task_id="d")
    work(SOURCE)

    assert [row[1] for row in inbox_rows()] == ["opened"]
    assert len(states()) == 1


def test_a_request_id_with_other_content_is_a_conflict() -> None:
    call(**DISPUTE, request_id="r-1")
    call(**{**DISPUTE, "description": "x"}, request_id="r-1")
    call(**{**DISPUTE, "lead_id": "L-2"}, request_id="r-1")
    work(SOURCE)

    assert len(states()) == 1
    assert [error.partition(":")[0] for error in errors()] == ["IdempotencyConflict"] * 2
    assert "98765" not in str(errors())


def test_another_accounts_request_id_is_its_own() -> None:
    call(**DISPUTE, request_id="r-1")
    call(**{**DISPUTE, "account": "clinic:7", "lead_id": "L-7"}, request_id="r-1")
    work(SOURCE)

    assert [state for _, state, _ in states()] == ["pending", "pending"]
    assert rows("SELECT event_id FROM inbound_events ORDER BY id") == [
        ("clinic:42:r-1",), ("clinic:7:r-1",),
    ]  # fmt: skip


@pytest.mark.parametrize("request_id", ["Asha Rao", "98765 43210", "+919876543210", "x" * 200, "é"])
def test_a_request_id_that_is_free_text_is_a_digest_in_the_inbox(request_id: str) -> None:
    for task_id in ("a", "b"):
        call(**DISPUTE, request_id=request_id, task_id=task_id)
    work(SOURCE)

    [(event_id,)] = rows("SELECT event_id FROM inbound_events")
    assert str(event_id).startswith("clinic:42:sha256:")
    assert len(states()) == 1


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"account": "clinic:7"}, f"UnknownLead: unknown lead {fingerprint('L-1')}"),
        ({"account": "clinic:nobody"}, f"UnknownLead: unknown lead {fingerprint('L-1')}"),
        ({"lead_id": "L-9"}, f"UnknownLead: unknown lead {fingerprint('L-9')}"),
        ({"dispute_type": PRIVATE}, "InvalidDispute: dispute_type must be one of wrong_number, "),
        ({"description": "x" * 1_001}, "InvalidDispute: description must be at most 1000"),
        ({"description": None}, "UnreadableCall: data.description: Input should be a valid string"),
        ({"description": [PRIVATE]}, "UnreadableCall: data.description: Input should be a valid"),
        ({"lead_id": 17}, "UnreadableCall: data.lead_id: Input should be a valid string"),
        ({"evidence": {PRIVATE: "x" * 20_000}}, "InvalidDispute: evidence must be at most 16384"),
        ({"evidence": float("nan")}, "InvalidDispute: evidence must be plain JSON"),
        ({"evidence": "\x00"}, "InvalidDispute: evidence must not hold the character U+0000"),
        ({"evidence": "x" * 2_000_000}, "RefusedCall: 2000"),
        ({"request_id": 5}, "UnreadableCall: data.request_id: Input should be a valid string"),
        ({"request_id": ""}, "UnreadableCall: data.request_id: String should have at least 1"),
        ({"request_id": "x" * 201}, "UnreadableCall: data.request_id: String should have at most"),
        ({"request_id": "a\nb"}, "InvalidDispute: request_key must not hold control characters"),
        ({PRIVATE: 1}, "RefusedCall: 1 unknown arguments; known are lead_id, account"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_call_that_cannot_be_opened_is_a_dead_row_with_the_reason(
    more: dict[str, Any], reason: str
) -> None:
    for _ in range(2):  # a message may come twice
        call(**{**DISPUTE, **more})
    call(**{**DISPUTE, "lead_id": "L-3"}, task_id="good")
    work(SOURCE)

    [error] = errors()
    assert error.startswith(reason)
    assert "98765" not in error
    # And the good one beside it is opened
    assert states() == [("L-3", "pending", 0)]


def test_a_call_without_arguments_names_what_is_missing() -> None:
    call()
    work(SOURCE)
    [error] = errors()
    assert "data.lead_id: Field required" in error
    assert "data.description: Field required" in error


def test_a_dead_call_is_opened_when_it_is_replayed_after_its_lead_was_charged() -> None:
    call(**{**DISPUTE, "lead_id": "L-late"})
    work(SOURCE)
    charge("L-late")
    with transaction() as session:
        inbox_operations.replay(session, inbox_operations.dead_ids(session), now=clock.now())
    work(SOURCE)

    assert states() == [("L-late", "pending", 0)]


def test_many_calls_in_one_batch_are_opened_in_any_order_with_a_line_each() -> None:
    charge(*[f"M-{n}" for n in range(30)])
    for n in range(29, -1, -1):
        call(**{**DISPUTE, "lead_id": f"M-{n}"}, task_id=f"call-{n}")
    call(**{**DISPUTE, "lead_id": "M-3"}, task_id="again")

    lines = log_lines()

    assert lines[0] == "Dispute created: Lead M-29, Type wrong_number"
    assert len(lines) == len(states()) == 30
    assert errors()[0].startswith("DisputeOpen: lead 'M-3' is already disputed")
    assert work_one_batch(SOURCE) == 0


def test_the_queues_are_those_of_the_contract() -> None:
    assert app.conf.task_routes["tasks.disputes.open"] == {"queue": "refunds"}
    assert app.conf.task_routes["tasks.disputes.score"] == {"queue": "schedule"}
    assert nudges.queue_of(SOURCE) == "refunds"


@pytest.fixture
def stranger() -> Iterator[Celery]:
    """A Celery app with a broker and no configuration."""
    opened = Celery("stranger", broker=os.environ["REDIS_URL"], set_as_current=False)
    yield opened
    opened.close()


def test_any_app_opens_disputes_by_name_and_nothing_that_it_wrote_is_shown(
    redis: Redis, stranger: Celery, tmp_path: Path
) -> None:
    with WorkerProcess(tmp_path / "worker.log") as worker:
        send = stranger.send_task
        send("tasks.disputes.open", kwargs=DISPUTE, queue="refunds")
        send("tasks.disputes.open", ("L-2", "clinic:42", "spam", PRIVATE), queue="schedule")
        send("tasks.disputes.open", ("L-3", "clinic:42", PRIVATE, PRIVATE), queue="refunds")
        send("tasks.disputes.open", (PRIVATE,) * 7, queue="refunds")
        send("tasks.disputes.score", queue="schedule")
        later = {"kwargs": {**DISPUTE, "request_id": "r-later"}, "queue": "refunds"}
        send("tasks.disputes.open", **later, countdown=60)

        eventually("they are opened", lambda: len(states()) == 2, seconds=15)
        # The one that asks for a later time runs now, and the lead is already disputed.
        eventually("the others are dead", lambda: len(errors()) == 3)
        eventually("the line is there", lambda: worker.has_logged(
            "Dispute created: Lead L-1, Type wrong_number"))  # fmt: skip
        eventually("scores are computed", lambda: rows("SELECT 1 FROM quality_scores"))
        eventually("it is said", lambda: worker.has_logged("message runs now"))
        shown = worker.log
        # Ids may be shown, and nothing else
        for text in ("Asha", "98765", "asha@example.org"):
            assert text not in shown
            assert text not in str(errors())

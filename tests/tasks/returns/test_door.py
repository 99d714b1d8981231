"""Refunds by Celery: a call is a row, refunded once; its reason shows nowhere."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from celery import Celery
from redis import Redis

from tasks.inbox import recorder
from tasks.plumbing import nudges
from tasks.returns import calls, inquiry
from tests.billing.given import assert_ledger_is_clean, balance, open_account, rows
from tests.billing.returns.given import held
from tests.gateways.conftest import Sim
from tests.stack_process import eventually
from tests.tasks.given import inbox_rows, work
from tests.tasks.returns.given import open_dispute, paid, refunds_at
from tests.worker_process import WorkerProcess
from worker.app import app

pytestmark = pytest.mark.usefixtures("sim", "redis")

PRIVATE = "Asha 98765 43210 asha@example.org"
SOURCE = calls.SOURCE


@pytest.fixture(autouse=True)
def clinic(database: str) -> Iterator[None]:
    open_account()
    yield
    structlog.reset_defaults()


@pytest.fixture
def payment(sim: Sim) -> str:
    return paid(sim)


def wish(payment_id: str, **more: Any) -> dict[str, Any]:
    return {"payment_id": payment_id, "reason": PRIVATE, "requested_by": "platform", **more}


def call(*args: Any, task_id: str = "call-1", **kwargs: Any) -> None:
    """What the task does with a call, up to the commit."""
    recorder.record(calls.read(task_id, args, kwargs))


def call_outcomes() -> list[tuple[object, ...]]:
    """(state, outcome) of each call's row, oldest first."""
    return [row[:2] for row in inbox_rows() if row[2] != "payment.captured"]


def errors() -> list[str]:
    found = rows("SELECT last_error FROM inbound_events WHERE state = 'dead' ORDER BY id")
    return [str(error) for (error,) in found]


def amounts() -> list[object]:
    return [row[0] for row in rows("SELECT amount_paise FROM billing_refunds ORDER BY id")]


def test_a_call_is_recorded_then_reserved_and_asked_for(sim: Sim, payment: str) -> None:
    call(**wish(payment, amount_paise=250_000))
    work(SOURCE)
    # The row alone: whoever settles asks the gateway after that
    assert call_outcomes() == [("done", "requested")]
    assert rows("SELECT state, request_key, requested_by, reason FROM billing_refunds") == [
        ("requested", "call:call-1", "celery:refunds:platform", PRIVATE)
    ]
    assert refunds_at(sim, payment) == []

    inquiry.ask()

    [there] = refunds_at(sim, payment)
    assert there["amount"] == 250_000
    assert rows("SELECT state, position FROM billing_refunds") == [("processed", "taken")]
    assert (balance(), held()) == (2_750, 0)
    assert rows("SELECT DISTINCT door FROM billing_audit_log WHERE action = 'refund.requested'") \
        == [("celery",)]  # fmt: skip
    assert_ledger_is_clean()


def test_a_message_that_comes_again_is_one_refund(sim: Sim, payment: str) -> None:
    for _ in range(2):
        call(**wish(payment, amount_paise=100_000))
        call(payment, PRIVATE, "platform", 100_000)
        work(SOURCE)
        inquiry.ask()

    assert call_outcomes() == [("done", "requested")]
    assert (len(refunds_at(sim, payment)), amounts()) == (1, [100_000])


def test_a_request_id_is_one_refund_whatever_the_messages_are_called(
    sim: Sim, payment: str
) -> None:
    for task_id in ("a", "b"):
        call(**wish(payment, request_id="r-1", amount_paise=100_000), task_id=task_id)
    work(SOURCE)
    # And in other words, which are another delivery of the same wish
    call(**{**wish(payment, request_id="r-1"), "requested_by": "another"}, task_id="c")
    work(SOURCE)
    inquiry.ask()

    assert call_outcomes() == [("done", "requested"), ("done", "repeated")]
    assert (len(refunds_at(sim, payment)), amounts()) == (1, [100_000])


def test_a_request_id_with_other_content_is_dead_with_the_reason(sim: Sim, payment: str) -> None:
    second = paid(sim, key="op-2")
    call(**wish(payment, request_id="r-1", amount_paise=100_000))
    call(**wish(payment, request_id="r-1", amount_paise=100_001))
    call(**wish(second, request_id="r-1", amount_paise=100_000))
    call(**{**wish(payment, request_id="r-1", amount_paise=100_000), "reason": "x"})
    work(SOURCE)

    assert len(amounts()) == 1
    assert [error.partition(":")[0] for error in errors()] == ["IdempotencyConflict"] * 3
    assert "98765" not in str(errors())


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"payment_id": "pay_nobodys"}, "UnknownPayment: "),
        ({"payment_id": ""}, "UnreadableCall: data.payment_id: String should have at least 1"),
        ({"payment_id": "a\x00b"}, "UnreadableCall: data.payment_id: "),
        ({"payment_id": 17}, "UnreadableCall: data.payment_id: Input should be a valid string"),
        ({"amount_paise": 0}, "UnreadableCall: data.amount_paise: Input should be greater"),
        ({"amount_paise": "100"}, "UnreadableCall: data.amount_paise: Input should be a valid int"),
        ({"amount_paise": 100.0}, "UnreadableCall: data.amount_paise: Input should be a valid int"),
        ({"amount_paise": True}, "UnreadableCall: data.amount_paise: Input should be a valid int"),
        ({"amount_paise": 500_001}, "CannotRefund: payment "),
        ({"amount_paise": 10**30}, "CannotRefund: payment "),
        ({"reason": ""}, "InvalidReason: reason must not be empty"),
        ({"reason": "a\x00b"}, "InvalidReason: reason must not hold control characters"),
        ({"reason": "x" * 1_001}, "InvalidReason: reason must be at most 1000"),
        ({"reason": None}, "UnreadableCall: data.reason: Input should be a valid string"),
        ({"reason": [PRIVATE]}, "UnreadableCall: data.reason: Input should be a valid string"),
        ({"requested_by": "a\x00b"}, "UnreadableCall: data.requested_by: "),
        ({"requested_by": "x" * 201}, "UnreadableCall: data.requested_by: String should have at"),
        ({"request_id": "a\x00b"}, "UnreadableCall: data.request_id: "),
        ({"request_id": "a\nb"}, "UnreadableCall: data.request_id: "),
        ({"request_id": 5}, "UnreadableCall: data.request_id: Input should be a valid string"),
        ({PRIVATE: 1}, "RefusedCall: 1 unknown arguments; known are payment_id, reason"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_call_that_cannot_be_refunded_is_a_dead_row_with_the_reason(
    sim: Sim, payment: str, more: dict[str, Any], reason: str
) -> None:
    second = paid(sim, key="op-2")
    for _ in range(2):  # a message may come twice
        call(**{**wish(payment), **more})
    call(**wish(second), task_id="good")
    work(SOURCE)
    inquiry.ask()

    [error] = errors()
    assert error.startswith(reason)
    assert "98765" not in error
    # And the good one beside it is refunded
    assert refunds_at(sim, payment) == []
    assert len(refunds_at(sim, second)) == 1
    assert balance() == 5_500


def test_a_charged_back_payment_is_not_refunded(sim: Sim, payment: str) -> None:
    open_dispute(sim, payment)
    inquiry.ask()  # lists it

    call(**wish(payment))
    work(SOURCE)

    assert "is charged back" in errors()[0]
    assert amounts() == []


def test_several_calls_of_one_batch_take_no_more_than_there_is(sim: Sim, payment: str) -> None:
    for i in range(4):
        call(**wish(payment, amount_paise=200_000), task_id=f"call-{i}")
    work(SOURCE)
    inquiry.ask()

    assert [row[0] for row in call_outcomes()] == ["done", "done", "dead", "dead"]
    assert len(refunds_at(sim, payment)) == 2
    assert balance() == 1_100


def test_the_queues_are_those_of_the_contract() -> None:
    assert app.conf.task_routes["tasks.refunds.request"] == {"queue": "refunds"}
    assert app.conf.task_routes["tasks.refunds.ask"] == {"queue": "refunds"}
    assert nudges.queue_of(SOURCE) == "refunds"


@pytest.fixture
def stranger() -> Iterator[Celery]:
    """A Celery app with a broker and no configuration."""
    opened = Celery("stranger", broker=os.environ["REDIS_URL"], set_as_current=False)
    yield opened
    opened.close()


def test_any_app_refunds_by_name_and_nothing_that_it_wrote_is_shown(
    sim: Sim, payment: str, redis: Redis, stranger: Celery, tmp_path: Path
) -> None:
    with WorkerProcess(tmp_path / "worker.log") as worker:
        send = stranger.send_task
        for _ in range(2):
            send("tasks.refunds.request", kwargs=wish(payment, request_id="r-1",
                 amount_paise=100_000), queue="refunds")  # fmt: skip
        send("tasks.refunds.request", (payment, PRIVATE, "ops", 50_000), queue="schedule")
        send("tasks.refunds.request", (PRIVATE,) * 7, queue="refunds")
        later = {"kwargs": wish(payment, request_id="r-1", amount_paise=100_000)}
        send("tasks.refunds.request", **later, queue="refunds", countdown=60)

        eventually("they are refunded", lambda: len(refunds_at(sim, payment)) == 2, seconds=15)
        eventually("their credit is taken", lambda: balance() == 5_500 - 1_650)
        eventually("the other is dead", lambda: len(errors()) == 1)
        eventually("the third copy runs now", lambda: worker.has_logged("message runs now"))
        shown = worker.log
        for text in ("Asha", "98765", "asha@example.org"):
            assert text not in shown
            assert text not in str(errors())
    assert_ledger_is_clean()

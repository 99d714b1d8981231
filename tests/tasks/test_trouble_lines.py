"""What waits for a person is said in the log: one error line each, after the commit."""

from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

import clock
from billing.payments import Seen
from db import after_commit, inbox
from db.session import transaction
from tasks import drain
from tasks.inbox import recorder
from tasks.leads import calls as lead_calls
from tests.billing.given import open_account
from tests.billing.payments.given import news, open_order, take_in
from tests.billing.returns.given import refund_fact, report
from tests.gateways import bodies
from tests.tasks.given import deliver, lead_event, work

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def clinic(database: str) -> str:
    return open_account(credits_=1_000)


def errors_of(logs: Any) -> list[dict[str, object]]:
    """The error lines, without their level."""
    return [
        {name: value for name, value in line.items() if name != "log_level"}
        for line in logs
        if line["log_level"] == "error"
    ]


@pytest.mark.parametrize(
    ("source", "event", "reason"),
    [
        ("leads", lead_event(account="clinic:priya@example.com"), "UnknownAccount"),
        ("leads", lead_event(package_price_paise="call 98200"), "UnreadableEvent"),
        ("razorpay", b"{", "UnreadableEvent"),
        ("dispute_calls", {"type": "dispute.requested", "data": {}}, "UnreadableCall"),
        ("refund_calls", {"type": "refund.requested", "data": {}}, "UnreadableCall"),
    ],
)
def test_a_row_that_goes_dead_is_one_line_without_what_a_sender_wrote(
    source: str, event: object, reason: str
) -> None:
    [row] = deliver(event, source=source)

    with capture_logs() as logs:
        work(source)
        work(source)

    assert errors_of(logs) == [
        {"event": "inbox row dead", "row": row, "source": source, "reason": reason}
    ]


def test_a_lead_of_a_call_is_named_by_its_error_and_not_by_its_place() -> None:
    rows = lead_calls.read("tasks.leads.charge_many", "task-1", [[{"lead_id": "L-1"}]], {})
    recorder.record(rows)

    with capture_logs() as logs:
        work("lead_calls")

    assert [line["reason"] for line in errors_of(logs)] == ["UnreadableEvent"]


def test_a_call_that_is_refused_at_once_is_one_line_and_its_repeat_none() -> None:
    rows = lead_calls.read("tasks.leads.charge", "task-1", [], {"patient": "Priya"})

    with capture_logs() as logs:
        recorder.record(rows)
        recorder.record(rows)

    [line] = errors_of(logs)
    assert (line["event"], line["source"], line["reason"]) == (
        "inbox row dead",
        "lead_calls",
        "RefusedCall",
    )


@pytest.mark.parametrize("permanent", [True, False])
def test_so_is_a_row_whose_last_attempt_failed(*, permanent: bool) -> None:
    [row] = deliver(lead_event())
    later = clock.now()
    with capture_logs() as logs:
        for _ in range(1 if permanent else inbox.MAX_ATTEMPTS):
            later += timedelta(hours=1)
            with transaction() as session:
                lease = inbox.lease(session, "leads", now=later)
                assert lease is not None
            with transaction() as session:
                inbox.give_back(
                    session, lease, ValueError("Priya: 98200"), permanent=permanent, now=later
                )

    assert errors_of(logs) == [
        {"event": "inbox row dead", "row": row, "source": "leads", "reason": "ValueError"}
    ]


def test_so_is_a_row_that_killed_its_process_each_time() -> None:
    [row] = deliver(lead_event())
    later = clock.now()
    with capture_logs() as logs:
        for _ in range(inbox.MAX_ATTEMPTS + 1):
            later += timedelta(hours=1)
            with transaction() as session:
                inbox.lease(session, "leads", now=later)

    assert errors_of(logs) == [
        {"event": "inbox row dead", "row": row, "source": "leads", "reason": inbox.NO_ERROR}
    ]


def test_a_payment_that_no_rule_places_is_one_line_whatever_is_repeated() -> None:
    open_order()
    with capture_logs() as logs:
        for _ in range(2):
            take_in(
                news(amount_paise=1),
                news(payment_id="pay_2", order_id=None),
                news(Seen.AUTHORIZED, payment_id="pay_3", order_id=None),
            )
        take_in(news(amount_paise=2, refunded_paise=1))

    assert errors_of(logs) == [
        {"event": "payment needs a person", "payment": payment, "gateway": "razorpay",
         "state": state, "reason": reason}
        for payment, state, reason in (
            ("pay_1", "quarantined", "amount_mismatch"), ("pay_2", "unmatched", "no_order"),
        )
    ]  # fmt: skip


def test_so_is_money_of_nobody_whose_refund_failed() -> None:
    take_in(news(order_id=None))
    report(refund_fact())
    with capture_logs() as logs:
        report(refund_fact("failed"))
        report(refund_fact("failed"))

    assert [(line["event"], line["reason"]) for line in errors_of(logs)] == [
        ("payment needs a person", "refund_failed")
    ]


def test_a_webhook_says_it_too() -> None:
    deliver(bodies.razorpay("payment.captured.upi"), source="razorpay")

    with capture_logs() as logs:
        work("razorpay")

    assert [(line["event"], line["state"]) for line in errors_of(logs)] == [
        ("payment needs a person", "unmatched")
    ]


def test_what_was_rolled_back_is_not_said() -> None:
    with capture_logs() as logs, pytest.raises(ValueError, match="no"), transaction() as session:
        after_commit.log_error(session, "inbox row dead", row=1)
        raise ValueError("no")

    assert logs == []


def test_a_batch_that_comes_again_says_once_that_a_clock_is_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given leads of a clock that is an hour ahead, and a batch that is rolled back at its end
    ahead = (clock.now() + timedelta(hours=1)).isoformat()
    deliver(*[lead_event(lead_id=f"L-{n}", occurred_at=ahead) for n in range(2)])
    handle, failures = drain.HANDLERS["leads"], iter([ZeroDivisionError()])

    def handle_and_fail(session: Any, events: Any) -> Any:
        done = handle(session, events)
        for failure in failures:
            raise failure
        return done

    monkeypatch.setitem(drain.HANDLERS, "leads", handle_and_fail)

    # When it comes again, in halves
    with capture_logs() as logs:
        work()

    # Then each lead is in one line
    lines = [line for line in logs if line["event"] == "times ahead"]
    assert [(line["log_level"], line["reports"]) for line in lines] == [("warning", 1)] * 2
    assert [line["event"] for line in logs].count("batch given back") == 1


def test_a_line_comes_after_the_commit() -> None:
    with capture_logs() as logs:
        with transaction() as session:
            after_commit.log_error(session, "inbox row dead", row=1)
            assert logs == []
        assert len(logs) == 1

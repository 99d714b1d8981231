"""Gateways' webhooks from the inbox: credited, ignored or dead with a reason; never twice."""

from collections.abc import Iterator
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
import structlog
from sqlalchemy import text
from structlog.testing import capture_logs

import clock
from tests.billing.given import assert_ledger_is_clean, at_once, balance, open_account, rows
from tests.billing.leads.given import DEAR, park
from tests.conftest import owner
from tests.gateways import bodies
from tests.gateways.conftest import Sim
from tests.tasks.given import deliver, inbox_rows, work
from tests.tasks.returns.given import buy, deliver_razorpay, razorpay_event, stripe_event

pytestmark = pytest.mark.usefixtures("database", "redis")


@pytest.fixture(autouse=True)
def clinic(database: str) -> Iterator[None]:
    open_account()
    yield
    structlog.reset_defaults()


def lines_of(logs: Any) -> list[str]:
    """The lines that operators look for."""
    return [line["event"] for line in logs if line["log_level"] == "info"]


def payment_states() -> list[tuple[object, ...]]:
    return list(rows("SELECT gateway_payment_id, state FROM billing_payments ORDER BY id"))


def test_a_captured_payment_is_credited_and_told_once(sim: Sim) -> None:
    paid = sim.pay(str(buy().order_id))["razorpay_payment_id"]
    deliver_razorpay(razorpay_event(sim, "payment.captured", paid))

    with capture_logs() as logs:
        work("razorpay")

    assert lines_of(logs) == [f"Payment verified: {paid}, Credits 5500"]
    assert inbox_rows() == [("done", "captured", "payment.captured", None)]
    assert balance() == 5_500
    assert rows("SELECT DISTINCT actor FROM credit_transactions") == [("webhook:razorpay",)]
    assert_ledger_is_clean()


@pytest.mark.parametrize("one_batch", [True, False])
def test_captured_paid_and_every_repeat_are_one_credit(sim: Sim, *, one_batch: bool) -> None:
    paid = sim.pay(str(buy().order_id))["razorpay_payment_id"]
    with capture_logs() as logs:
        for event in ("payment.authorized", "order.paid", "payment.captured", "payment.captured"):
            deliver_razorpay(razorpay_event(sim, event, paid))
            if not one_batch:
                work("razorpay")
        work("razorpay")

    assert lines_of(logs) == [f"Payment verified: {paid}, Credits 5500"]
    assert [row[:2] for row in inbox_rows()] == [("done", "captured")] * 4
    assert balance() == 5_500


def test_a_session_of_stripe_is_credited_once(sim: Sim) -> None:
    session_id = str(buy("stripe").order_id)
    sim.pay(session_id)
    event = stripe_event(sim, session_id)
    with capture_logs() as logs:
        deliver(event, source="stripe")
        deliver(event + b"\n", source="stripe")
        work("stripe")

    [(intent, state)] = payment_states()
    assert lines_of(logs) == [f"Payment verified: {intent}, Credits 5500"]
    assert (state, balance()) == ("captured", 5_500)


@pytest.mark.parametrize("intent_first", [True, False])
def test_the_session_and_its_intent_are_the_same_money(sim: Sim, *, intent_first: bool) -> None:
    session_id = str(buy("stripe").order_id)
    sim.pay(session_id)
    events = ["payment_intent.succeeded", "checkout.session.completed"]
    for event in events if intent_first else reversed(events):
        deliver(stripe_event(sim, session_id, event), source="stripe")
        work("stripe")

    assert [row[:2] for row in inbox_rows()] == [("done", "captured")] * 2
    assert (len(payment_states()), balance()) == (1, 5_500)


def test_credit_that_frees_parked_leads_tells_of_them_too(sim: Sim) -> None:
    park(("a", DEAR))
    paid = sim.pay(str(buy().order_id))["razorpay_payment_id"]
    deliver_razorpay(razorpay_event(sim, "payment.captured", paid))
    with capture_logs() as logs:
        work("razorpay")

    assert lines_of(logs) == [
        f"Payment verified: {paid}, Credits 5500",
        "Credit deduction: Clinic 42, Amount 500",
    ]


@pytest.mark.parametrize(
    "name",
    ["settlement.processed", "payment.downtime.started", "subscription.pending"],
)
def test_what_tells_of_no_payment_is_ignored(name: str) -> None:
    deliver_razorpay(bodies.razorpay(name))
    work("razorpay")

    assert inbox_rows() == [("ignored", "no_payment", name, None)]
    assert payment_states() == []


@pytest.mark.parametrize("name", ["v2.thin", "charge.refunded"])
def test_events_of_stripe_that_are_not_used_are_ignored(name: str) -> None:
    deliver(bodies.stripe(name), source="stripe")
    work("stripe")

    assert [row[:2] for row in inbox_rows()] == [("ignored", "no_payment")]


@pytest.mark.parametrize("name", ["payment.captured.upi", "order.paid.upi"])
def test_money_of_a_shop_that_is_not_ours_is_unmatched(name: str) -> None:
    deliver_razorpay(bodies.razorpay(name))
    with capture_logs() as logs:
        work("razorpay")

    assert [row[:2] for row in inbox_rows()] == [("done", "unmatched")]
    assert [state for _, state in payment_states()] == ["unmatched"]
    assert lines_of(logs) == []
    assert rows("SELECT topic FROM outbox_events") == [("payment.unmatched",)]


def _payment(**changes: object) -> bytes:
    def change(event: dict[str, Any]) -> None:
        event["payload"]["payment"]["entity"].update(changes)

    return bodies.edited(bodies.razorpay("payment.captured.upi"), change)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body is not JSON"),
        (b"\xff\x00", "the body is not JSON"),
        (b"[]", "the body must be a JSON object"),
        (b"[" * 100_000, "the body is nested too deeply"),
        (b'{"event":"payment.captured"}', "payload must be a JSON object"),
        (b'{"event":"payment.captured","payload":{}}', "payload.payment.entity"),
        (_payment(id=None), "id"),
        (_payment(id="a\x00b"), "id"),
        (_payment(amount="500000"), "amount"),
        (_payment(amount=-1), "amount"),
        (_payment(amount=2**70), "amount"),
        (_payment(currency="rupees"), "currency"),
        (_payment(status="melted"), "status"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_read_is_dead_with_the_reason_and_stops_nobody(
    sim: Sim, body: bytes, reason: str
) -> None:
    # Given it between two good ones
    first = sim.pay(str(buy().order_id))["razorpay_payment_id"]
    second = sim.pay(str(buy(key="op-2").order_id))["razorpay_payment_id"]
    deliver_razorpay(
        razorpay_event(sim, "payment.captured", first), body,
        razorpay_event(sim, "payment.captured", second),
    )  # fmt: skip
    # When they are worked on
    work("razorpay")
    # Then it is dead, and the others are credited
    before, bad, after = inbox_rows()
    assert bad[0] == "dead"
    assert reason in str(bad[3])
    assert before[:2] == after[:2] == ("done", "captured")
    assert balance() == 11_000


def test_a_mixed_batch_ends_each_row_in_its_own_way(sim: Sim) -> None:
    order_id = str(buy().order_id)
    failed = sim.pay(order_id, "failure")["razorpay_payment_id"]
    told_of_failure = razorpay_event(sim, "payment.failed", failed)
    paid = sim.pay(order_id)["razorpay_payment_id"]
    captured = razorpay_event(sim, "payment.captured", paid)
    short = sim.post("/simulator/pay", {"order_id": buy(key="op-2").order_id, "amount": 100})
    deliver_razorpay(
        told_of_failure, b"{", captured, bodies.razorpay("settlement.processed"),
        bodies.razorpay("payment.captured.card"), captured + b" ",
        razorpay_event(sim, "payment.captured", short["razorpay_payment_id"]),
    )  # fmt: skip

    with capture_logs() as logs:
        work("razorpay")

    assert [row[:2] for row in inbox_rows()] == [
        ("done", "failed"), ("dead", None), ("done", "captured"), ("ignored", "no_payment"),
        ("done", "unmatched"), ("done", "captured"), ("done", "quarantined"),
    ]  # fmt: skip
    assert lines_of(logs) == [f"Payment verified: {paid}, Credits 5500"]
    assert balance() == 5_500
    assert_ledger_is_clean()


def test_one_payment_in_several_workers_at_once_is_credited_and_told_once(
    sim: Sim, many_connections: None
) -> None:
    paid = sim.pay(str(buy().order_id))["razorpay_payment_id"]
    for event in ("payment.captured", "order.paid", "payment.authorized"):
        deliver_razorpay(*[razorpay_event(sim, event, paid) + b" " * i for i in range(20)])
    together = Barrier(3)

    def one_worker() -> None:
        together.wait()
        work("razorpay")

    with capture_logs() as logs:
        at_once(*[one_worker] * 3)
        work("razorpay")

    assert lines_of(logs) == [f"Payment verified: {paid}, Credits 5500"]
    assert {row[:2] for row in inbox_rows()} == {("done", "captured")}
    assert balance() == 5_500
    assert_ledger_is_clean()


def test_a_line_is_written_after_the_commit_and_not_where_there_was_none(
    sim: Sim, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = sim.pay(str(buy().order_id))["razorpay_payment_id"]
    deliver_razorpay(razorpay_event(sim, "payment.captured", paid))
    # Given a database that breaks at the commit
    broken = "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS" \
        " $$ BEGIN RAISE EXCEPTION 'broken'; END $$"  # fmt: skip
    with owner() as connection:
        connection.execute(text(broken))
        connection.execute(
            text(
                "CREATE CONSTRAINT TRIGGER broken AFTER INSERT ON credit_transactions"
                " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION broken()"
            )
        )
    with capture_logs() as logs:
        work("razorpay")
    assert lines_of(logs) == []
    assert inbox_rows()[0][0] == "pending"
    assert (balance(), payment_states()) == (0, [])
    # When it is mended and the row's time has come
    with owner() as connection:
        connection.execute(text("DROP TRIGGER broken ON credit_transactions"))
    monkeypatch.setattr(clock, "_offset", timedelta(hours=1))
    with capture_logs() as logs:
        work("razorpay")
    # Then it is credited and logged
    assert lines_of(logs) == [f"Payment verified: {paid}, Credits 5500"]
    assert balance() == 5_500

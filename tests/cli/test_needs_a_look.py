"""What waits for a person is in a list: payments, orders, and events by the sender's names."""

import json
from typing import Any

import pytest
from sqlalchemy import text

import clock
from billing.payments import Seen, orders
from db import deliveries
from db.deliveries import NewEvent
from db.session import transaction
from tests.billing.given import open_account
from tests.billing.payments.given import news, open_order, request, take_in
from tests.cli.runner import run
from tests.tasks.given import lead_event, work

pytestmark = pytest.mark.usefixtures("database", "redis")


@pytest.fixture(autouse=True)
def clinic(database: str) -> str:
    return open_account(credits_=1_000)


def deliver(event_id: str, event: object, source: str = "leads") -> None:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    with transaction() as session:
        deliveries.record(session, [NewEvent(source, event_id, body, clock.now())])


def listed(*options: str) -> list[Any]:
    """The sender's ids of the events that a list has."""
    return [row["event_id"] for row in run("inbox", "list", *options, "--json").json]


def test_a_foreign_authorized_payment_is_in_the_list_with_the_others_that_wait() -> None:
    open_order()
    take_in(
        news(payment_id="pay_ours", seen=Seen.AUTHORIZED),
        news(payment_id="pay_foreign", seen=Seen.AUTHORIZED, order_id="order_foreign"),
        news(payment_id="pay_loose", seen=Seen.AUTHORIZED, order_id=None),
        news(payment_id="pay_unmatched", order_id=None),
        news(payment_id="pay_odd", amount_paise=1),
    )

    found = run("payments", "list", "--needs-a-look", "--json").json

    assert [(row["payment_id"], row["state"], row["reason"]) for row in found] == [
        ("pay_unmatched", "unmatched", "no_order"),
        ("pay_odd", "quarantined", "amount_mismatch"),
        ("pay_loose", "authorized", "no_order"),
        ("pay_foreign", "authorized", "order_not_known"),
    ]


def test_orders_are_listed_and_shown_with_their_payments() -> None:
    open_order()
    request("op-2")
    take_in(news())

    assert [row["state"] for row in run("orders", "list", "--json").json] == ["requested", "paid"]
    [paid] = run("orders", "list", "--state", "paid", "--account", "clinic:42", "--json").json
    shown = run("orders", "show", "order_1", "--json").json
    by_receipt = run("orders", "show", paid["receipt"], "--json").json

    assert shown == by_receipt
    assert shown["account"] == "clinic:42"
    assert [payment["payment_id"] for payment in shown["payments"]] == ["pay_1"]
    assert [entry["action"] for entry in shown["audit_log"]] == [
        "order.requested", "order.open", "order.paid",
    ]  # fmt: skip
    assert "there is no order 'nobody'" in run("orders", "show", "nobody").error


def test_an_order_that_the_gateway_cannot_settle_needs_a_look() -> None:
    order = open_order()
    request("op-2")
    with transaction() as session:
        orders.set_last_error(orders.lock(session, order.id), ValueError("at odds"))

    found = run("orders", "list", "--needs-a-look", "--json").json

    assert [row["order_id"] for row in found] == ["order_1"]


def test_an_event_is_found_by_the_senders_id() -> None:
    deliver("msg_1", lead_event("L-1"))
    deliver("msg_2", lead_event("L-2"))
    deliver("17", lead_event("L-3"), source="lead_calls")

    assert listed("--event-id", "msg_1") == ["msg_1"]
    assert listed("--event-id", "msg_1", "--source", "lead_calls") == []
    assert run("inbox", "show", "msg_2", "--json").json["event_id"] == "msg_2"
    assert run("inbox", "show", "17", "--json").json["event_id"] == "17"


def test_an_id_that_several_events_have_is_not_guessed() -> None:
    deliver("msg_1", lead_event("L-1"))
    deliver("msg_1", lead_event("L-2"))
    ids = sorted((row["id"] for row in run("inbox", "list", "--json").json), reverse=True)

    assert f"show one of {ids[0]}, {ids[1]}" in run("inbox", "show", "msg_1").error


@pytest.mark.parametrize("worked", [True, False])
def test_events_are_found_by_lead_and_account_in_every_state(*, worked: bool) -> None:
    deliver("charged", lead_event("L-1"))
    deliver("unknown account", lead_event("L-2", account="clinic:none"))
    deliver("malformed", lead_event("L-2", package_price_paise="x"))
    deliver("number", lead_event(17, account="clinic:none"))
    deliver("another", lead_event("L-11"))
    if worked:
        work()

    assert listed("--lead", "L-1") == ["charged"]
    assert listed("--lead", "L-2") == ["malformed", "unknown account"]
    assert listed("--account", "clinic:none") == ["number", "unknown account"]
    assert listed("--account", "clinic:42", "--lead", "L-2") == ["malformed"]
    if worked:
        assert listed("--lead", "17") == ["number"]


def test_no_look_up_reads_the_whole_inbox() -> None:
    with transaction() as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        plans = [
            "\n".join(session.scalars(text(f"EXPLAIN {query}")))
            for query in (
                "SELECT id FROM inbound_events WHERE lead_id = 'L-1'",
                "SELECT id FROM inbound_events WHERE account_ref = 'clinic:42'"
                " AND (state <> 'done' OR lead_id IS NULL)",
                "SELECT id FROM inbound_events WHERE source IN ('leads', 'razorpay')"
                " AND event_id = 'msg_1'",
                "SELECT id FROM inbound_events WHERE state = 'dead' AND lead_id IS NULL",
                "SELECT id FROM inbound_events WHERE state = 'pending' AND lead_id IS NULL",
                "SELECT id FROM billing_payments WHERE state IN ('quarantined', 'unmatched')"
                " OR (state = 'authorized' AND order_id IS NULL)",
            )
        ]

    assert not [plan for plan in plans if "Seq Scan" in plan]

"""One id shows a request's whole way: through the logs of all processes and the rows of all tables.

Each kind of request comes in once under an id of its own, and `way_of` greps for it.
"""

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from typing import Any

import pytest
import requests

import clock
from devstack import ports
from service import standard_webhooks
from tests.acceptance import paying
from tests.acceptance.harness import LeadEvent, Stack
from tests.stack_process import eventually

pytestmark = pytest.mark.acceptance

PRICE_PAISE = 1_200_000
TABLES = (
    "inbound_events", "api_requests", "accounts", "billing_orders", "billing_payments",
    "billing_refunds", "billing_chargebacks", "credit_transactions", "lead_charges",
    "lead_conflicts", "lead_disputes", "holds", "hold_events", "billing_audit_log",
    "outbox_events", "account_plans", "plan_terms", "notice_contacts", "notice_mails",
)  # fmt: skip
_numbers = count(1)


@pytest.fixture
def clinic(stack: Stack) -> str:
    """A clinic of this test's own."""
    ref = f"clinic:way-{next(_numbers)}"
    stack.make_account(ref, opening_credits=10_000)
    return ref


@pytest.fixture
def ids(clinic: str) -> Iterator[str]:
    """Ids for the requests of a test."""
    return (f"shop.{clinic.partition(':')[2]}.{number}" for number in count(1))


def call(
    stack: Stack, method: str, path: str, body: dict[str, Any] | None, request_id: str
) -> "requests.Response":
    """Send a request to the API, and expect its own id with the answer."""
    headers = {
        "Authorization": f"Bearer {stack.addresses['api_keys'].partition(':')[2]}",
        "X-Request-Id": request_id,
        "Idempotency-Key": f"key-{request_id}",
    }
    url = f"http://{ports.HOST}:{stack.environment['API_PORT']}{path}"
    answer = requests.request(method, url, json=body, headers=headers, timeout=20)
    assert answer.headers["X-Request-Id"] == request_id
    return answer


def deliver(stack: Stack, event: LeadEvent, request_id: str) -> dict[str, Any]:
    """Deliver a lead event; return the receiver's answer."""
    at, secret = int(clock.now().timestamp()), stack.addresses["lead_webhook_secrets"]
    headers: dict[str, str] = {
        "Content-Type": "application/json",
        "X-Request-Id": request_id,
        "webhook-id": event.event_id,
        "webhook-timestamp": str(at),
        "webhook-signature": standard_webhooks.sign(
            secret, message_id=event.event_id, timestamp=at, body=event.body
        ),
    }
    url = f"http://{ports.HOST}:{stack.environment['RECEIVER_PORT']}/webhooks/leads"
    answer = requests.post(url, data=event.body, headers=headers, timeout=20)
    assert answer.headers["X-Request-Id"] == request_id
    content: dict[str, Any] = answer.json()
    return content


def lines_of(stack: Stack, request_id: str) -> list[str]:
    """Return what the lines with this id say, of the logs of all processes, in their order."""
    found = [
        json.loads(line)
        for log in (stack.data_dir / "logs").glob("*.log")
        for line in log.read_text().splitlines()
        if request_id in line
    ]
    assert all(line["request_id"] == request_id for line in found if "order_request_id" not in line)
    return [line["event"] for line in sorted(found, key=lambda line: line["timestamp"])]


def rows_of(stack: Stack, request_id: str) -> dict[str, int]:
    """Return how many rows of each table have this id."""
    counted = {
        table: stack.value(f"SELECT count(*) FROM {table} WHERE request_id = %s", request_id)
        for table in TABLES
    }
    return {table: rows for table, rows in counted.items() if rows}


def test_no_table_with_the_column_is_left_out_here(stack: Stack) -> None:
    named = "SELECT table_name FROM information_schema.columns WHERE column_name = 'request_id'"
    assert {row[0] for row in stack.sql(named)} == set(TABLES)


def test_a_lead_by_webhook(stack: Stack, clinic: str, ids: Iterator[str]) -> None:
    event, request_id = LeadEvent(f"evt-{clinic}", f"L-{clinic}", clinic, PRICE_PAISE), next(ids)

    answer = deliver(stack, event, request_id)

    assert answer == {"status": "recorded", "request_id": request_id}
    stack.wait_until_charged(event.lead_id)
    line = f"Credit deduction: Clinic {clinic.partition(':')[2]}, Amount 250"
    eventually("it is logged", lambda: lines_of(stack, request_id) == [line])
    assert rows_of(stack, request_id) == {
        "inbound_events": 1, "lead_charges": 1, "credit_transactions": 1, "outbox_events": 1,
    }  # fmt: skip
    assert stack.billing_process("ledger", "verify").returncode == 0


def test_a_lead_by_api_that_waits_for_credit_and_is_paid_for_by_another_request(
    stack: Stack, ids: Iterator[str]
) -> None:
    # Given a clinic without credit, opened by API
    poor = f"clinic:poor-{next(_numbers)}"
    opened, lead, topped_up = next(ids), next(ids), next(ids)
    content = {"ref": poor, "name": "Poor Clinic", "product": "clinic_leads"}
    assert call(stack, "POST", "/v1/accounts", content, opened).status_code == 201
    assert set(rows_of(stack, opened)) == {"accounts", "api_requests", "billing_audit_log"}
    # And a lead that is parked
    wish = {"lead_id": f"L-{poor}", "account": poor, "package_price_paise": PRICE_PAISE}
    assert call(stack, "POST", "/v1/leads", wish, lead).status_code == 202
    stack.wait_until_charged(f"L-{poor}")
    # When the clinic tops up: order, payment and report come under one id
    order = {"account": poor, "gateway": "razorpay", "package": "credits_5000"}
    order_id = call(stack, "POST", "/v1/orders", order, topped_up).json()["order_id"]
    paid = paying.pay(stack, order_id)
    call(stack, "POST", "/v1/payments/verify", paid, next(ids))
    # Then the lead's id shows how it was parked, and that it was charged later
    line = f"Credit deduction: Clinic {poor.partition(':')[2]}, Amount 250"
    eventually("it is charged", lambda: lines_of(stack, lead) == [line])
    assert rows_of(stack, lead) == {
        "api_requests": 1, "inbound_events": 1, "lead_charges": 1, "billing_audit_log": 1,
        "outbox_events": 2, "credit_transactions": 1,
    }  # fmt: skip
    # And the order's id shows the payment, whoever was first to bring it
    verified = f"Payment verified: {paid['payment_id']}, Credits 5500"
    assert lines_of(stack, topped_up) == [verified]
    assert rows_of(stack, topped_up)["billing_orders"] == 1


def test_a_payment_and_its_refund(stack: Stack, clinic: str, ids: Iterator[str]) -> None:
    # Given a payment that the browser's report brings: its webhook never comes
    ordered, reported, refunded = next(ids), next(ids), next(ids)
    order = {"account": clinic, "gateway": "razorpay", "package": "credits_5000"}
    with paying.switches(stack, drops=1):
        order_id = call(stack, "POST", "/v1/orders", order, ordered).json()["order_id"]
        paid = paying.pay(stack, order_id)
        assert call(stack, "POST", "/v1/payments/verify", paid, reported).status_code == 200
    verified = f"Payment verified: {paid['payment_id']}, Credits 5500"
    assert lines_of(stack, reported) == [verified] == lines_of(stack, ordered)
    written = rows_of(stack, reported)
    assert written["billing_payments"] == 1
    assert written["credit_transactions"] == 2  # with the bonus
    # When it is refunded
    wish = {"payment_id": paid["payment_id"], "reason": "asked for"}
    assert call(stack, "POST", "/v1/refunds", wish, refunded).status_code == 201
    # Then the taking of the credit is part of the refund's way, whichever process did it
    eventually(
        "the credit is taken",
        lambda: rows_of(stack, refunded).get("credit_transactions") == 2,
    )
    assert {"billing_refunds", "holds", "hold_events", "billing_audit_log", "outbox_events"} <= set(
        rows_of(stack, refunded)
    )


def test_a_dispute_a_charge_and_a_hold(stack: Stack, clinic: str, ids: Iterator[str]) -> None:
    lead_id = f"L-{clinic}"
    deliver(stack, LeadEvent(f"evt-{clinic}", lead_id, clinic, PRICE_PAISE), next(ids))
    stack.wait_until_charged(lead_id)

    disputed, charged, held, captured = (next(ids) for _ in range(4))
    dispute = {"lead_id": lead_id, "account": clinic, "dispute_type": "wrong_number",
               "description": "no such number"}  # fmt: skip
    assert call(stack, "POST", "/v1/disputes", dispute, disputed).status_code == 201
    charge = {"account": clinic, "amount": 7, "description": "a summary"}
    assert call(stack, "POST", "/v1/charges", charge, charged).status_code == 201
    hold_id = call(stack, "POST", "/v1/holds", charge, held).json()["hold_id"]
    path = f"/v1/holds/{hold_id}/capture"
    assert call(stack, "POST", path, {"amount": 5}, captured).status_code == 200

    assert lines_of(stack, disputed) == [f"Dispute created: Lead {lead_id}, Type wrong_number"]
    assert rows_of(stack, disputed).items() >= {"api_requests": 1, "lead_disputes": 1}.items()
    assert rows_of(stack, charged) == {"api_requests": 1, "credit_transactions": 1}
    assert rows_of(stack, held).items() >= {"holds": 1, "hold_events": 1}.items()
    assert rows_of(stack, captured).items() >= {"credit_transactions": 1, "hold_events": 2}.items()


def test_a_refused_lead_and_a_refused_request(
    stack: Stack, clinic: str, ids: Iterator[str]
) -> None:
    nobody, refused = next(ids), next(ids)

    deliver(stack, LeadEvent(f"evt-{nobody}", f"L-{nobody}", "clinic:nobody", 100), nobody)
    answer = call(stack, "GET", "/v1/accounts/clinic:nobody", None, refused)

    assert answer.json()["request_id"] == refused
    assert lines_of(stack, refused) == ["request refused"]
    assert rows_of(stack, refused) == {}
    eventually("it is dead", lambda: lines_of(stack, nobody) == ["inbox row dead"])
    assert rows_of(stack, nobody) == {"inbound_events": 1, "outbox_events": 1}


HOSTILE = [
    b"x" * 10_000, "größe-und-mehr".encode(), b"'; DROP TABLE accounts; --",
    b"shop-7f3a\tx", b"", b"+919876543210", b"asha@example.com",
]  # fmt: skip


@pytest.mark.parametrize("port", ["RECEIVER_PORT", "API_PORT"])
def test_a_hostile_id_is_replaced_and_stands_nowhere(stack: Stack, port: str) -> None:
    def ask(*given: bytes) -> str:
        address = (ports.HOST, int(stack.environment[port]))
        with closing(http.client.HTTPConnection(*address, timeout=10)) as connection:
            connection.putrequest("GET", "/none/such")
            for value in given:
                connection.putheader("X-Request-Id", value)
            connection.endheaders()
            answer = connection.getresponse()
            answer.read()
            if answer.status == 400:
                return "no HTTP"
            assert answer.status == 404
            (made,) = [v for n, v in answer.getheaders() if n.lower() == "x-request-id"]
        return made

    for value in HOSTILE:
        made = ask(value)
        assert made.startswith("req_")
        assert lines_of(stack, made) == ["request refused"]
    # A control character is no HTTP: the server itself refuses it, and nobody sees the request.
    assert ask(b"\x1b[31mshop-7f3a") == "no HTTP"
    for doubled in ([b"shop-7f3a-1", b"shop-7f3a-1"], [b"shop-7f3a-1,shop-7f3a-2"]):
        assert ask(*doubled).startswith("req_")
    for log in (stack.data_dir / "logs").glob("*.log"):
        shown = log.read_bytes()
        assert not any(value[:40] in shown for value in HOSTILE if len(value) > 20)
        assert b"shop-7f3a" not in shown


def test_parallel_requests_never_mix_their_ids(stack: Stack, clinic: str) -> None:
    """Fifty at once at each server, answered by shared threads, one event loop and one batch."""
    short = clinic.partition(":")[2]

    def charge(number: int) -> tuple[str, int]:
        request_id = f"crowd.{short}.{number:03}"
        amount = {"account": clinic, "amount": number, "description": "a summary"}
        path = "/v1/charges" if number % 2 else "/v1/none"
        answer = call(stack, "POST", path, amount, request_id)
        if answer.status_code != 201:
            assert answer.json()["request_id"] == request_id
        return request_id, number

    def lead(number: int) -> tuple[str, int]:
        request_id = f"crowd.{short}.L{number:03}"
        event = LeadEvent(f"evt-{request_id}", f"lead-{request_id}", clinic, PRICE_PAISE)
        assert deliver(stack, event, request_id)["request_id"] == request_id
        return request_id, number

    with ThreadPoolExecutor(50) as crowd:
        charges = list(crowd.map(charge, range(1, 51)))
        leads = list(crowd.map(lead, range(20)))
    stack.wait_until_charged(*(f"lead-{request_id}" for request_id, _ in leads))

    amounts = "SELECT request_id, amount FROM credit_transactions WHERE request_id LIKE %s"
    taken = dict(stack.sql(amounts, f"crowd.{short}.%"))
    of_leads = {request_id: -250 for request_id, _ in leads}
    assert taken == {id_: -number for id_, number in charges if number % 2} | of_leads
    batch = "SELECT request_id, lead_id FROM lead_charges WHERE request_id LIKE %s"
    assert dict(stack.sql(batch, f"crowd.{short}.%")) == {
        request_id: f"lead-{request_id}" for request_id, _ in leads
    }
    for request_id, number in charges:
        refused = [] if number % 2 else ["request refused"]
        assert lines_of(stack, request_id) == refused

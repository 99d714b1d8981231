"""Leads that the API was asked for, as rows: charged for who asked, refused as by any door."""

import json
from datetime import UTC, datetime, timedelta

import pytest

import clock
from billing.leads import LeadRequest, status
from db.session import transaction
from tasks.drain import HANDLERS
from tasks.leads import requests
from tests.billing.given import assert_ledger_is_clean, balance, open_account, rows
from tests.tasks.given import deliver, inbox_rows, lead_event, work

pytestmark = pytest.mark.usefixtures("database")

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)


def ask(
    lead_id: str = "L-1", *, account: str = "clinic:42", price: int = 600_000,
    by: str = "api-key:app", event_id: str = "api:app:1", at: datetime = NOW,
) -> None:  # fmt: skip
    request = LeadRequest(lead_id=lead_id, account=account, package_price_paise=price)
    with transaction() as session:
        requests.record(session, request, event_id=event_id, actor=by, at=at)


def test_each_charge_of_a_batch_is_by_who_asked_for_it() -> None:
    open_account(credits_=1_000)
    ask("L-1", by="api-key:app")
    ask("L-2", by="api-key:site")

    work("api_leads")

    assert rows("SELECT lead_id, actor FROM credit_transactions WHERE amount < 0 ORDER BY id") == [
        ("L-1", "api-key:app"),
        ("L-2", "api-key:site"),
    ]
    assert_ledger_is_clean()


def test_each_conflict_of_a_batch_is_by_who_asked_for_it_and_one_request_is_one_conflict() -> None:
    open_account(credits_=1_000)
    ask(by="api-key:app")
    work("api_leads")
    ask(price=1_200_000, by="api-key:site", event_id="api:site:1")
    ask(price=1_200_000, by="api-key:site", event_id="api:site:2")
    ask(price=2_500_000, by="api-key:shop", event_id="api:shop:1")

    work("api_leads")

    assert rows("SELECT package_price_paise, actor FROM lead_conflicts ORDER BY 1") == [
        (1_200_000, "api-key:site"),
        (2_500_000, "api-key:shop"),
    ]
    assert [row[0] for row in inbox_rows()] == ["done", "dead", "dead", "dead"]
    assert balance() == 1_000 - 180


def test_what_is_parked_is_in_the_audit_log_as_by_the_api() -> None:
    open_account()
    ask()

    work("api_leads")

    assert rows("SELECT actor, door FROM billing_audit_log WHERE action = 'lead.parked'") == [
        ("api:leads", "api")
    ]


def test_it_happened_when_it_was_asked_for() -> None:
    open_account(credits_=1_000)
    with clock.frozen(NOW + timedelta(hours=1)):
        ask()
        work("api_leads")

    assert rows("SELECT occurred_at FROM lead_charges") == [(NOW,)]


def test_an_account_that_is_unknown_by_then_is_a_dead_row_about_its_lead() -> None:
    ask(account="clinic:nobody")

    work("api_leads")

    [(state, _, _, error)] = inbox_rows()
    assert state == "dead"
    assert str(error).startswith("UnknownAccount")
    assert rows("SELECT lead_id, account_ref FROM inbound_events") == [("L-1", "clinic:nobody")]


def test_a_row_that_names_nobody_is_dead() -> None:
    deliver(lead_event(), source="api_leads")

    work("api_leads")

    [(state, _, _, error)] = inbox_rows()
    assert (state, str(error)) == ("dead", "UnreadableEvent: actor: Field required")


def test_the_body_is_a_lead_event_with_its_caller() -> None:
    ask()

    [(body,)] = rows("SELECT convert_from(body, 'UTF8') FROM inbound_events")
    assert json.loads(str(body)) == {
        "type": "lead.created",
        "actor": "api-key:app",
        "data": {"lead_id": "L-1", "account": "clinic:42", "package_price_paise": 600_000},
    }


def test_the_status_of_a_lead_looks_at_every_door_of_leads() -> None:
    others = {"razorpay", "stripe", "dispute_calls", "refund_calls"}
    assert set(status.SOURCES) == HANDLERS.keys() - others

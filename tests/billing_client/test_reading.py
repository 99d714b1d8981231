"""Answers become results by the types of their fields; what a newer server adds breaks nothing."""

import dataclasses
import pickle
from datetime import UTC, date, datetime
from typing import Any

import pytest

from api.app import create_app
from billing_client import (
    BillingClient,
    InvalidRequest,
    LeadStatus,
    OpenEnum,
    Renewal,
    Transaction,
    results,
)
from billing_client.reading import Unreadable, read
from tests.billing_client.bank import client_of
from tests.billing_client.scripted_server import Reply, ScriptedServer

RENEWAL = {
    "service_renewal_status": "due_soon", "service_renewal_next_due": "2026-12-01T00:00:00+05:30",
    "due_on": "2026-12-01", "grace_ends_at": "2026-12-15T18:30:00Z", "days_left": 1,
}  # fmt: skip
SAME_NAMES = {
    "Account": results.Account, "AccountStatus": results.AccountStatus, "Catalog": results.Catalog,
    "Charge": results.Charge, "Dispute": results.Dispute, "Entitlements": results.Entitlements,
    "Hold": results.Hold, "Lead": results.LeadStatus, "Order": results.Order,
    "Refund": results.Refund, "Statement": results.Statement, "Transaction": results.Transaction,
    "VerifiedPayment": results.VerifiedPayment,
}  # fmt: skip
"""Schema of the document -> result."""
OF_THE_ANSWER = {"replayed", "retried"}
"""What a result has from the headers."""


def test_times_days_states_and_nested_results_are_read() -> None:
    found = read(Renewal, {**RENEWAL, "of_a_newer_server": [1]})
    assert found.due_on == date(2026, 12, 1)
    assert found.service_renewal_next_due.utcoffset() is not None
    assert found.grace_ends_at == datetime(2026, 12, 15, 18, 30, tzinfo=UTC)
    assert found.service_renewal_status.is_known


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"days_left": "1"}, "days_left is not a whole number"),
        ({"days_left": True}, "days_left is not a whole number"),
        ({"days_left": 1.0}, "days_left is not a whole number"),
        ({"days_left": None}, "days_left is not a whole number"),
        ({"due_on": "tomorrow"}, "due_on is not a date"),
        ({"due_on": 5}, "due_on is not a str"),
        ({"grace_ends_at": "2026-12-15T18:30:00"}, "grace_ends_at has no time zone"),
        ({"service_renewal_status": None}, "service_renewal_status is not a str"),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        read(Renewal, {**RENEWAL, **change})


def test_the_place_of_a_mistake_is_named_in_full() -> None:
    plan = {"name": "x", "product": "y", "price_paise": 1, "renews": None, "monthly_credits": 0,
            "branches": 1, "features": ["a", 5.5]}  # fmt: skip
    with pytest.raises(Unreadable, match=r"features\[1\] is not a str"):
        read(results.Plan, plan)
    with pytest.raises(Unreadable, match=r"entitlements\.x\.why is missing"):
        read(
            results.Entitlements,
            {"account": "a", "service_renewal_status": "none",
             "entitlements": {"x": {"allowed": True}}},
        )  # fmt: skip


def test_what_may_be_absent_is_none() -> None:
    assert read(LeadStatus, {"lead_id": "L", "account": "a:1", "state": "new", "credits": 1}) == (
        LeadStatus("L", "a:1", results.LeadState("new"), 1)
    )


def _sample(hint: Any) -> Any:
    origin = getattr(hint, "__origin__", None)
    if dataclasses.is_dataclass(hint):
        fields = dataclasses.fields(hint)
        types = {field.name: field.type for field in fields}
        return hint(**{name: _sample(kind) for name, kind in types.items()})  # type: ignore[operator]
    if origin is tuple:
        return (_sample(hint.__args__[0]),)
    if isinstance(hint, type) and issubclass(hint, OpenEnum):
        return hint("of-a-newer-server")
    if hint is datetime:
        return datetime(2026, 12, 1, tzinfo=UTC)
    return None


@pytest.mark.parametrize(
    "kind",
    [one for one in vars(results).values() if dataclasses.is_dataclass(one)],
    ids=lambda kind: kind.__name__,
)
def test_every_result_is_frozen_and_comes_whole_through_a_pickle(kind: type) -> None:
    found = _sample(kind)
    twin = pickle.loads(pickle.dumps(found))  # noqa: S301 - of our own making
    assert (twin, repr(twin)) == (found, repr(found))
    name = dataclasses.fields(kind)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(found, name, 1)


def test_a_result_has_every_field_that_the_document_has() -> None:
    document: Any = create_app().test_client().get("/openapi.json").get_json(force=True)
    schemas = document["components"]["schemas"]
    for name, kind in SAME_NAMES.items():
        known = {field.name for field in dataclasses.fields(kind)} - OF_THE_ANSWER
        assert known == schemas[name]["properties"].keys(), name


def _page(*numbers: int, after: str | None) -> Reply:
    row = {
        "version": 1, "amount": -5, "balance_after": 0, "kind": "usage", "idempotency_key": "k",
        "description": "", "event_at": "2026-12-01T00:00:00Z", "created_at": "2026-12-01T00:00:00Z",
    }  # fmt: skip
    return Reply(200, {"transactions": [{**row, "id": n} for n in numbers], "next": after})


def test_a_list_is_read_page_by_page_as_it_is_walked() -> None:
    pages = (_page(5, 4, after="4"), _page(3, after="3"), _page(2, after=None))
    with ScriptedServer(*pages) as server, client_of(server.url) as client:
        rows = client.history("clinic:42", kind="usage")
        assert server.asked == []
        first: Transaction = next(rows)
        assert (first.id, len(server.asked)) == (5, 1)
        assert [row.id for row in rows] == [4, 3, 2]
    assert [one.path.partition("?")[2] for one in server.asked] == [
        "kind=usage", "kind=usage&after=4", "kind=usage&after=3",
    ]  # fmt: skip


def test_a_list_that_turns_in_a_circle_ends() -> None:
    with (
        ScriptedServer(_page(5, after="5"), _page(5, after="5")) as server,
        client_of(server.url) as client,
        pytest.raises(Exception, match="next is the page that was asked for"),
    ):
        list(client.history("clinic:42"))
    assert len(server.asked) == 2


NAIVE = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
ONE_OF = "package, amount_paise, plan: give exactly one of them"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda c: c.place_order("clinic:42", "razorpay"), ONE_OF),
        (lambda c: c.place_order("clinic:42", "razorpay", package="p", plan="q"), ONE_OF),
        (lambda c: c.place_order("clinic:42", "stripe", package="p"), "return_url: missing"),
        (lambda c: c.place_order("clinic:42", "razorpay", amount_paise=0), "amount_paise: must be"),
        (lambda c: c.place_order("clinic:42", "razorpay", amount_paise=1.5), "amount_paise: must"),
        (lambda c: c.place_order("clinic:42", "stripe", package="p", return_url="x"), "return_url"),
        (lambda c: c.verify_payment("order_1", "pay_1"), "payment_id, signature: give both"),
        (lambda c: c.order_status(".."), "order_id: . and .. cannot stand in a URL"),
        (lambda c: c.refund_payment("pay_1", reason=" "), "reason: must not be empty"),
        (lambda c: c.dispute_status("7"), "dispute_id: must be a whole number (int), not str"),
        (lambda c: c.dispute_lead("L", "clinic:42", "spam", "x\x00"), "description: must not hold"),
        (lambda c: c.dispute_lead("L", "clinic:42", "spam", "x", evidence={1}), "evidence: must"),
        (lambda c: c.dispute_lead("L", "clinic:42", "spam", "x", evidence="y" * 20_000),
         "evidence: must be at most 16384 bytes"),
        (lambda c: c.update_account("clinic:42"), "name, timezone, state_code, gstin, low_balance"),
        (lambda c: c.update_account("clinic:42", name=None), "name: must be text, not NoneType"),
        (lambda c: c.update_account("clinic:42", low_balance=-1), "low_balance: must be from 0"),
        (lambda c: c.create_account("clinic:42", "", "clinic_leads"), "name: must not be empty"),
        (lambda c: c.ensure_account("42", "City", "clinic_leads"), "account: must be kind:id"),
        (lambda c: c.history("clinic:42", since=NAIVE), "since: must have a time"),
        (lambda c: c.statement("clinic:42"), "month: give it, or first_day and last_day"),
        (lambda c: c.statement("clinic:42", month="2026-13"), "month: must be a month"),
        (lambda c: c.statement("clinic:42", first_day=date(2026, 2, 1), last_day=date(2026, 1, 1)),
         "last_day: must not be before first_day"),
        (lambda c: c.submit_lead("L-1", "clinic:42", -1), "package_price_paise: must be from 0"),
        (lambda c: c.wait_for_lead("L-1", timeout_seconds=-1), "timeout_seconds: must be from 0"),
        (lambda c: c.wait_for_lead("L-1", timeout_seconds="x"), "timeout_seconds: must be a"),
        (lambda c: c.list_payments("nobody"), "account: must be kind:id"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_named_and_not_sent(ask: Any, message: str) -> None:
    with ScriptedServer(Reply(500)) as server, client_of(server.url) as client:
        assert isinstance(client, BillingClient)
        with pytest.raises(InvalidRequest) as caught:
            ask(client)
        assert str(caught.value).startswith(message)
        assert server.asked == []

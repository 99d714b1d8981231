"""Stripe's sessions, refunds, disputes and lists, through its own SDK."""

from collections.abc import Callable
from typing import Any

import pytest
import stripe

from devstack.simulator.server import Running
from tests.devstack.simulator.conftest import Control
from tests.devstack.simulator.receiver import wait_until

Make = Callable[..., Any]


def options(key: str) -> Any:
    return {"idempotency_key": key}


def plain(value: Any) -> Any:
    """Return an object of the SDK as a dict, which its types say that metadata is."""
    return value.to_dict()


def test_a_session_is_paid(
    stripe_client: stripe.StripeClient, control: Control, new_session: Make
) -> None:
    session = new_session(
        client_reference_id="clinic:42",
        metadata={"receipt": "topup-1"},
        payment_intent_data={"metadata": {"receipt": "topup-1"}},
        success_url="http://127.0.0.1:9/?s={CHECKOUT_SESSION_ID}",
    )
    assert (session.status, session.payment_status, session.payment_intent) == (
        "open", "unpaid", None,
    )  # fmt: skip
    assert (session.amount_total, session.currency) == (500_000, "inr")
    assert session.id.startswith("cs_test_")

    paid = control.pay_session(session.id)

    session = stripe_client.v1.checkout.sessions.retrieve(session.id)
    assert (session.status, session.payment_status) == ("complete", "paid")
    assert (session.client_reference_id, plain(session.metadata)) == (
        "clinic:42",
        {"receipt": "topup-1"},
    )
    assert paid["success_url"] == f"http://127.0.0.1:9/?s={session.id}"
    intent = stripe_client.v1.payment_intents.retrieve(paid["payment_intent"])
    assert (intent.status, intent.amount_received) == ("succeeded", 500_000)
    assert plain(intent.metadata) == {"receipt": "topup-1"}
    charge = stripe_client.v1.charges.retrieve(str(intent.latest_charge))
    assert (charge.paid, charge.amount, charge.payment_intent) == (True, 500_000, intent.id)
    items = stripe_client.v1.checkout.sessions.line_items.list(session.id).data
    assert [(i.description, i.amount_total) for i in items] == [("5,000 credits", 500_000)]


def test_metadata_of_a_session_does_not_reach_the_payment(
    stripe_client: stripe.StripeClient, control: Control, new_session: Make
) -> None:
    paid = control.pay_session(new_session(metadata={"receipt": "topup-1"}).id)
    intent = stripe_client.v1.payment_intents.retrieve(paid["payment_intent"])
    assert plain(intent.metadata) == {}


def test_an_idempotency_key_creates_once(
    stripe_client: stripe.StripeClient, new_session: Make
) -> None:
    create = stripe_client.v1.checkout.sessions.create
    item = {"price_data": {"currency": "inr", "unit_amount": 100, "product_data": {"name": "x"}}}
    params: Any = {"mode": "payment", "line_items": [item]}
    first = create(params, options("topup-1"))

    repeat = create(params, options("topup-1"))

    assert repeat.id == first.id
    assert repeat.last_response is not None
    headers: Any = repeat.last_response.headers
    assert headers["Idempotent-Replayed"] == "true"
    other: Any = {**params, "client_reference_id": "other"}
    with pytest.raises(stripe.IdempotencyError):
        create(other, options("topup-1"))
    assert create(params, options("topup-2")).id != first.id
    assert len(stripe_client.v1.checkout.sessions.list().data) == 2


def test_a_refused_request_is_not_kept_under_its_key(
    stripe_client: stripe.StripeClient,
) -> None:
    create = stripe_client.v1.checkout.sessions.create
    wrong: Any = {"mode": "payment"}
    with pytest.raises(stripe.InvalidRequestError, match="line_items"):
        create(wrong, options("topup-1"))
    item = {"price_data": {"currency": "inr", "unit_amount": 100, "product_data": {"name": "x"}}}
    right: Any = {"mode": "payment", "line_items": [item]}
    assert create(right, options("topup-1")).status == "open"


def test_after_a_lost_answer_the_same_key_gives_the_session_that_was_made(
    stripe_client: stripe.StripeClient, control: Control, new_session: Make
) -> None:
    item = {"price_data": {"currency": "inr", "unit_amount": 100, "product_data": {"name": "x"}}}
    params: Any = {"mode": "payment", "line_items": [item]}
    control.set(lost_response=1)
    with pytest.raises(stripe.APIConnectionError):
        stripe_client.v1.checkout.sessions.create(params, options("topup-1"))
    control.set(lost_response=0)

    session = stripe_client.v1.checkout.sessions.create(params, options("topup-1"))

    assert [s.id for s in stripe_client.v1.checkout.sessions.list().data] == [session.id]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"mode": None}, "mode"),
        ({"mode": "subscription"}, "mode"),
        ({"line_items": []}, "line_items"),
        ({"line_items": [{"quantity": 1}]}, "line_items[0][price_data]"),
        ({"line_items": [{"price_data": {"currency": "inr", "unit_amount": "x"}}]},
         "line_items[0][price_data][unit_amount]"),
        ({"line_items": [{"price_data": {"currency": "inr", "unit_amount": 0}}]},
         "line_items[0][price_data][unit_amount]"),
        ({"expires_at": 1}, "expires_at"),
    ],
)  # fmt: skip
def test_a_wrong_session_is_refused_by_name(
    new_session: Make, change: dict[str, Any], param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        new_session(**change)
    assert (refusal.value.http_status, refusal.value.param) == (400, param)


def test_a_session_expires_once(
    stripe_client: stripe.StripeClient, control: Control, new_session: Make
) -> None:
    session = new_session()

    assert stripe_client.v1.checkout.sessions.expire(session.id).status == "expired"

    with pytest.raises(stripe.InvalidRequestError, match="can be expired"):
        stripe_client.v1.checkout.sessions.expire(session.id)
    control("POST", "pay", {"session_id": session.id}, status=400)


def test_a_session_expires_by_itself(
    stripe_client: stripe.StripeClient, control: Control, new_session: Make
) -> None:
    control.set(speed=200_000)
    session = new_session()
    retrieve = stripe_client.v1.checkout.sessions.retrieve
    wait_until(lambda: retrieve(session.id).status == "expired")


def test_a_decline_leaves_the_session_open(
    stripe_client: stripe.StripeClient, control: Control, new_session: Make
) -> None:
    session = new_session()

    declined = control.pay_session(session.id, "failure")

    assert (declined["status"], declined["payment_status"]) == ("open", "unpaid")
    intent = stripe_client.v1.payment_intents.retrieve(declined["payment_intent"])
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.code == "card_declined"
    assert control.pay_session(session.id)["payment_intent"] == intent.id
    control("POST", "pay", {"session_id": session.id}, status=400)


@pytest.mark.parametrize(
    ("outcome", "status"), [("late_authorization", "paid"), ("late_failure", "unpaid")]
)
def test_a_delayed_method_ends_later(
    stripe_client: stripe.StripeClient, control: Control, new_session: Make, outcome: str,
    status: str,
) -> None:  # fmt: skip
    session = new_session()
    paid = control.pay_session(session.id, outcome)
    assert (paid["status"], paid["payment_status"]) == ("complete", "unpaid")
    retrieve = stripe_client.v1.payment_intents.retrieve
    wait_until(lambda: retrieve(paid["payment_intent"]).status != "processing")
    assert stripe_client.v1.checkout.sessions.retrieve(session.id).payment_status == status


def test_switches_distort_a_payment(
    stripe_client: stripe.StripeClient, control: Control, new_session: Make
) -> None:
    control.set(short_payment=1, other_currency=1, foreign_payment=1)
    session = new_session()

    paid = control.pay_session(session.id)

    session = stripe_client.v1.checkout.sessions.retrieve(session.id)
    assert (session.amount_total, session.amount_subtotal) == (250_000, 500_000)
    assert session.currency == "usd"
    intents = stripe_client.v1.payment_intents.list().data
    assert [(i.amount, i.currency) for i in intents] == [(49_900, "inr"), (250_000, "usd")]
    assert intents[1].id == paid["payment_intent"]
    listed = stripe_client.v1.checkout.sessions.list({"payment_intent": intents[0].id})
    assert listed.data == []
    control.set(late_authorization=1, late_authorization_seconds=36_000)
    assert control.pay_session(new_session().id)["payment_status"] == "unpaid"


def test_refunds_in_parts(
    stripe_client: stripe.StripeClient, control: Control, new_session: Make
) -> None:
    intent_id = control.pay_session(new_session().id)["payment_intent"]
    create = stripe_client.v1.refunds.create

    part = create({"payment_intent": intent_id, "amount": 200_000, "metadata": {"a": "b"}})

    assert (part.status, part.amount, plain(part.metadata)) == ("succeeded", 200_000, {"a": "b"})
    charge = stripe_client.v1.charges.retrieve(str(part.charge))
    assert (charge.amount_refunded, charge.refunded) == (200_000, False)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        create({"payment_intent": intent_id, "amount": 300_001})
    rest = create({"charge": charge.id, "reason": "requested_by_customer"})
    assert rest.amount == 300_000
    with pytest.raises(stripe.InvalidRequestError) as over:
        create({"charge": charge.id})
    assert over.value.code == "charge_already_refunded"
    assert stripe_client.v1.refunds.retrieve(part.id).amount == 200_000
    listed = stripe_client.v1.refunds.list({"payment_intent": intent_id}).data
    assert [r.id for r in listed] == [rest.id, part.id]
    edited = stripe_client.v1.refunds.update(part.id, {"metadata": {"c": "d"}})
    assert plain(edited.metadata) == {"a": "b", "c": "d"}


def test_a_refund_fails_later(
    stripe_client: stripe.StripeClient, control: Control, new_session: Make
) -> None:
    control.set(refund_state="failed", refund_seconds=2_000)
    intent_id = control.pay_session(new_session().id)["payment_intent"]
    refund = stripe_client.v1.refunds.create({"payment_intent": intent_id})
    assert refund.status == "pending"
    wait_until(lambda: stripe_client.v1.refunds.retrieve(refund.id).status == "failed")
    assert stripe_client.v1.charges.retrieve(str(refund.charge)).amount_refunded == 0


def test_what_cannot_be_refunded(
    stripe_client: stripe.StripeClient, control: Control, new_session: Make
) -> None:
    session = new_session()
    declined = control.pay_session(session.id, "failure")["payment_intent"]
    paid = control.pay_session(new_session().id)["payment_intent"]
    create = stripe_client.v1.refunds.create
    wrong: list[tuple[Any, str]] = [
        ({}, "One of the following params"),
        ({"payment_intent": "pi_1"}, "No such payment_intent"),
        ({"charge": "ch_1"}, "No such charge"),
        ({"payment_intent": declined}, "successful charge"),
        ({"payment_intent": paid, "amount": 0}, "Invalid positive integer"),
        ({"payment_intent": paid, "reason": "bored"}, "Invalid reason"),
    ]
    for params, message in wrong:
        with pytest.raises(stripe.InvalidRequestError, match=message):
            create(params)
    control.set(low_balance=True)
    with pytest.raises(stripe.InvalidRequestError) as poor:
        create({"payment_intent": paid})
    assert poor.value.code == "balance_insufficient"


def test_disputes_and_inquiries(
    stripe_client: stripe.StripeClient, control: Control, new_session: Make
) -> None:
    intent_id = control.pay_session(new_session().id)["payment_intent"]
    charge = stripe_client.v1.payment_intents.retrieve(intent_id).latest_charge

    opened = control("POST", "disputes", {"charge": charge, "amount": 39_000})
    dispute = stripe_client.v1.disputes.retrieve(opened["id"])
    assert (dispute.status, dispute.balance_transactions[0].amount) == ("needs_response", -39_000)
    assert stripe_client.v1.disputes.close(dispute.id).status == "lost"
    with pytest.raises(stripe.InvalidRequestError, match="already closed"):
        stripe_client.v1.disputes.close(dispute.id)

    inquiry = control("POST", "disputes", {"charge": charge, "inquiry": True})
    assert inquiry["balance_transactions"] == []
    closed = control("POST", f"disputes/{inquiry['id']}", {"status": "warning_closed"})
    assert (closed["status"], closed["balance_transactions"]) == ("warning_closed", [])
    won = control("POST", "disputes", {"charge": charge, "amount": 100})["id"]
    moved = control("POST", f"disputes/{won}", {"status": "won"})["balance_transactions"]
    assert [m["amount"] for m in moved] == [-100, 100]
    assert len(stripe_client.v1.disputes.list({"charge": str(charge)}).data) == 3
    control("POST", f"disputes/{won}", {"status": "gone"}, status=400)


def test_lists_are_walked_by_cursor(stripe_client: stripe.StripeClient, new_session: Make) -> None:
    ids = [new_session().id for _ in range(5)][::-1]
    sessions = stripe_client.v1.checkout.sessions

    first = sessions.list({"limit": 2})
    assert ([s.id for s in first.data], first.has_more) == (ids[:2], True)
    rest = sessions.list({"starting_after": ids[1]})
    assert ([s.id for s in rest.data], rest.has_more) == (ids[2:], False)
    before = sessions.list({"ending_before": ids[3], "limit": 2})
    assert ([s.id for s in before.data], before.has_more) == (ids[1:3], True)
    assert [s.id for s in sessions.list({"limit": 2}).auto_paging_iter()] == ids
    created = first.data[0].created
    assert len(sessions.list({"created": {"gte": created - 60, "lt": created + 60}}).data) == 5
    assert sessions.list({"created": {"gt": created + 60}}).data == []
    with pytest.raises(stripe.InvalidRequestError):
        sessions.list({"limit": 101})
    with pytest.raises(stripe.InvalidRequestError):
        sessions.list({"starting_after": "cs_test_1"})


def test_unknown_ids_are_not_found(stripe_client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        stripe_client.v1.checkout.sessions.retrieve("cs_test_1")
    assert (refusal.value.http_status, refusal.value.code) == (404, "resource_missing")
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL"):
        stripe_client.v1.products.list()


def test_an_object_is_shown_in_place_of_its_id(
    stripe_client: stripe.StripeClient, control: Control, new_session: Make
) -> None:
    session, retrieve = new_session(), stripe_client.v1.checkout.sessions.retrieve
    paths: Any = {"expand": ["payment_intent.latest_charge"]}
    assert retrieve(session.id, paths).payment_intent is None
    intent_id = control.pay_session(session.id)["payment_intent"]

    expanded = plain(retrieve(session.id, paths))["payment_intent"]

    assert (expanded["id"], expanded["latest_charge"]["paid"]) == (intent_id, True)
    assert retrieve(session.id).payment_intent == intent_id
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        retrieve(session.id, {"expand": ["line_items"]})


def test_an_intent_is_captured_where_it_has_reserved_the_money(
    simulator: Running, stripe_client: stripe.StripeClient, control: Control, new_session: Make
) -> None:
    intent_id = control.pay_session(new_session().id, "failure")["payment_intent"]
    capture = stripe_client.v1.payment_intents.capture
    with pytest.raises(stripe.InvalidRequestError, match="requires_payment_method"):
        capture(intent_id)
    simulator.world.stripe.intents[intent_id]["status"] = "requires_capture"

    captured = capture(intent_id)

    assert (captured.status, captured.amount_received) == ("succeeded", 500_000)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        capture(intent_id)
    assert caught.value.code == "payment_intent_unexpected_state"

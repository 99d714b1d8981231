"""Stripe's webhooks as a receiver gets them, verified by its own SDK."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import stripe

import clock
from devstack.simulator.stripe import events
from tests.devstack.simulator.conftest import STRIPE_SECRETS, Control
from tests.devstack.simulator.receiver import Received, Receiver

Make = Callable[..., Any]


def event_of(request: Received, secret: str = STRIPE_SECRETS[0]) -> stripe.Event:
    """Return the event, which the SDK has verified."""
    header = request.header("Stripe-Signature")
    return stripe.Webhook.construct_event(request.body, header, secret)  # type: ignore[no-any-return]


def types(requests: list[Received]) -> list[str]:
    return [event_of(request).type for request in requests]


def test_a_paid_session_is_told_signed_and_pretty_printed(
    control: Control, new_session: Make, receiver: Receiver
) -> None:
    session = new_session(metadata={"a": "b"})
    control.pay_session(session.id)

    requests = receiver.wait_for(3)

    assert types(requests) == [
        "charge.succeeded", "payment_intent.succeeded", "checkout.session.completed",
    ]  # fmt: skip
    last = requests[-1]
    assert last.path == "/webhooks/stripe"
    assert last.body == json.dumps(json.loads(last.body), indent=2).encode()
    assert last.header("X-Simulator") == "stripe"
    event = json.loads(last.body)
    assert event["data"]["object"]["id"] == session.id
    assert event["data"]["object"]["payment_status"] == "paid"
    assert event["api_version"] == "2026-10-28.endive"
    with pytest.raises(stripe.SignatureVerificationError):
        event_of(last, STRIPE_SECRETS[1])


def test_while_a_secret_is_rolled_both_sign(
    control: Control, new_session: Make, receiver: Receiver
) -> None:
    control.set(old_secret=1)
    control.pay_session(new_session().id)
    for request in receiver.wait_for(3):
        assert event_of(request, STRIPE_SECRETS[0]).id == event_of(request, STRIPE_SECRETS[1]).id
        assert request.header("Stripe-Signature").count("v1=") == 2


def test_a_retry_has_the_same_body_and_its_own_time(
    control: Control, new_session: Make, receiver: Receiver
) -> None:
    control.set(speed=3_000)
    receiver.statuses = [500]
    control.pay_session(new_session().id, "failure")

    deliveries = control.settled()

    assert [(d["state"], len(d["attempts"])) for d in deliveries] == [("given up", 3)] * 2
    for delivery in deliveries:
        sent = [r for r in receiver.requests if delivery["event_id"].encode() in r.body]
        assert len({r.body for r in sent}) == 1
        assert len({r.header("Stripe-Signature") for r in sent}) > 1
        assert {event_of(r).id for r in sent} == {delivery["event_id"]}


def test_every_change_is_told(
    stripe_client: stripe.StripeClient, control: Control, new_session: Make, receiver: Receiver
) -> None:
    def event_types() -> list[str]:
        control.settled()
        new, receiver.requests = types(receiver.requests), []
        return sorted(new)

    control.set(late_authorization_seconds=1_000)
    intent_id = control.pay_session(new_session().id, "late_authorization")["payment_intent"]
    receiver.wait_for(5)
    assert event_types() == [
        "charge.succeeded", "checkout.session.async_payment_succeeded",
        "checkout.session.completed", "payment_intent.processing", "payment_intent.succeeded",
    ]  # fmt: skip
    control.set(refund_state="failed", refund_seconds=2_000)
    stripe_client.v1.refunds.create({"payment_intent": intent_id, "amount": 100})
    receiver.wait_for(4)
    assert event_types() == ["charge.refunded", "refund.created", "refund.failed", "refund.updated"]
    charge = stripe_client.v1.payment_intents.retrieve(intent_id).latest_charge
    stripe_client.v1.disputes.close(control("POST", "disputes", {"charge": charge})["id"])
    assert event_types() == [
        "charge.dispute.closed", "charge.dispute.created", "charge.dispute.funds_withdrawn",
    ]  # fmt: skip
    stripe_client.v1.checkout.sessions.expire(new_session().id)
    assert event_types() == ["checkout.session.expired"]
    control("POST", "foreign-payments", {"gateway": "stripe"})
    assert event_types() == ["charge.succeeded", "payment_intent.succeeded"]


def test_missed_events_are_listed(
    stripe_client: stripe.StripeClient, control: Control, new_session: Make, receiver: Receiver
) -> None:
    control.set(drops=1)
    control.pay_session(new_session().id)
    control.set(drops=0)
    control.pay_session(new_session().id)
    control.settled()

    missed: Any = {"delivery_success": False}
    assert [e.type for e in stripe_client.v1.events.list(missed).data] == [
        "checkout.session.completed", "payment_intent.succeeded", "charge.succeeded",
    ]  # fmt: skip
    all_of = stripe_client.v1.events.list({"type": "checkout.session.completed"}).data
    assert len(all_of) == 2
    sent = event_of(receiver.requests[0])
    assert stripe_client.v1.events.retrieve(sent.id).to_dict() == sent.to_dict()


def test_the_signature_is_the_documented_one() -> None:
    body = b'{"id":"evt_1","object":"event","type":"charge.succeeded"}'
    at = int(clock.now().timestamp())

    header = events.sign(body, ["whsec_one", "whsec_two"], at)

    for secret in ("whsec_one", "whsec_two"):
        stripe.Webhook.construct_event(body, header, secret)
    old = events.sign(body, ["whsec_one"], at - 301)
    with pytest.raises(stripe.SignatureVerificationError, match="tolerance"):
        stripe.Webhook.construct_event(body, old, "whsec_one")

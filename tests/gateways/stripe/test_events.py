"""What Stripe's events say of payments."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.payments import PaymentFacts, Seen
from gateways.events import UnreadableEvent
from gateways.stripe.webhooks import event_id, parse
from tests.gateways import bodies
from tests.gateways.bodies import edited

OF_SESSION = PaymentFacts(
    gateway="stripe", payment_id="pi_3Fixture00000042", seen=Seen.CAPTURED, amount_paise=118_000,
    currency="INR", order_id="cs_test_a1Fixture0042", receipt="top-up-0193-78",
)  # fmt: skip
OF_INTENT = replace(OF_SESSION, order_id=None, happened_at=datetime.fromtimestamp(1794031001, UTC))

TOLD: dict[str, PaymentFacts | None] = {
    "checkout.session.completed.paid": replace(OF_SESSION, method="card"),
    "checkout.session.completed.unpaid": replace(
        OF_SESSION, seen=Seen.CREATED, method="customer_balance"
    ),
    "checkout.session.async_payment_succeeded": replace(OF_SESSION, method="customer_balance"),
    "checkout.session.async_payment_failed": replace(
        OF_SESSION, seen=Seen.FAILED, method="customer_balance"
    ),
    "checkout.session.expired": None,
    "checkout.session.completed.subscription": None,
    "checkout.session.completed.setup": None,
    "payment_intent.succeeded": replace(OF_INTENT, method="card"),
    "payment_intent.payment_failed": replace(
        OF_INTENT, method="card", seen=Seen.FAILED, error_code="card_declined",
        error_reason="insufficient_funds",
    ),
    "payment_intent.amount_capturable_updated": replace(
        OF_INTENT, method="card", seen=Seen.AUTHORIZED
    ),
    "payment_intent.created": None,
    "charge.refunded": None,
    "v2.thin": None,
}  # fmt: skip
OF_REFUNDS_AND_DISPUTES = [
    name for name in bodies.STRIPE if "refund." in name or "dispute." in name
]
TOLD |= dict.fromkeys(OF_REFUNDS_AND_DISPUTES)


@pytest.mark.parametrize("name", bodies.STRIPE)
def test_an_event_tells_its_type_and_what_it_says_of_a_payment(name: str) -> None:
    body = bodies.stripe(name)

    event = parse(body)

    assert event.type == json.loads(body)["type"]
    assert event.payment == TOLD[name]
    assert event_id(body, {}) == json.loads(body)["id"]


@pytest.mark.parametrize("name", bodies.STRIPE)
def test_an_event_written_on_one_line_tells_the_same(name: str) -> None:
    body = bodies.stripe(name)

    assert parse(edited(body, lambda _: None)) == parse(body)


def test_a_failure_without_a_reason_is_a_failure() -> None:
    # Given an intent as Stripe takes it back to its beginning
    body = edited(
        bodies.stripe("payment_intent.payment_failed"),
        lambda event: event["data"]["object"].update(last_payment_error=None),
    )

    assert parse(body).payment == replace(OF_INTENT, method="card", seen=Seen.FAILED)


def test_a_session_that_cost_nothing_has_no_payment() -> None:
    body = edited(
        bodies.stripe("checkout.session.completed.paid"),
        lambda event: event["data"]["object"].update(
            payment_status="no_payment_required", payment_intent=None, amount_total=0
        ),
    )

    assert parse(body).payment is None


@pytest.mark.parametrize("kind", [None, 5, [], {}, "", "x" * 101, "nul\x00", "\ud800"])
def test_a_type_that_cannot_be_kept_is_none(kind: object) -> None:
    body = edited(bodies.stripe("charge.refunded"), lambda event: event.update(type=kind))

    event = parse(body)

    assert (event.type, event.payment) == (None, None)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "the body is not JSON"),
        (b"\xff\xfe\x00", "the body is not JSON"),
        (b'{"object": "event", "n": NaN}', "the body is not JSON"),
        (b"[" * 100_000, "the body is nested too deeply"),
        (b"[]", "the body must be a JSON object"),
        (b"{}", "object must be event"),
        (b'{"object": ["event"], "type": "payment_intent.succeeded"}', "object must be event"),
        (b'{"object": "event", "type": "payment_intent.succeeded"}', "data must be a JSON object"),
        (
            b'{"object": "event", "type": "payment_intent.succeeded", "data": {"object": "pi_1"}}',
            "data.object must be a JSON object",
        ),
    ],
)
def test_what_is_no_event_is_unreadable(body: bytes, problem: str) -> None:
    with pytest.raises(UnreadableEvent) as caught:
        parse(body)

    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("name", "edit", "field"),
    [
        ("payment_intent.succeeded", {"id": None}, "id"),
        ("payment_intent.succeeded", {"amount_received": "9812345678"}, "amount_received"),
        ("payment_intent.succeeded", {"currency": "9812345678"}, "currency"),
        ("payment_intent.succeeded", {"status": 9812345678}, "status"),
        ("checkout.session.completed.paid", {"amount_total": 9812345678.5}, "amount_total"),
        ("checkout.session.completed.paid", {"payment_intent": None}, "payment_intent"),
        ("checkout.session.completed.paid", {"payment_status": "9812345678"}, "payment_status"),
    ],
)
def test_a_payment_that_makes_no_sense_is_unreadable_and_its_values_are_not_repeated(
    name: str, edit: dict[str, object], field: str
) -> None:
    spoilt = edited(bodies.stripe(name), lambda event: event["data"]["object"].update(edit))

    with pytest.raises(UnreadableEvent) as caught:
        parse(spoilt)

    assert caught.value.place.startswith("data.object: ")
    assert caught.value.place.endswith(f".{field}")
    assert "9812345678" not in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(
    st.sampled_from([*OF_REFUNDS_AND_DISPUTES, *(name for name, facts in TOLD.items() if facts)]),
    st.data(),
)
def test_whatever_stands_in_a_field_it_is_read_or_unreadable(
    name: str, data: st.DataObject
) -> None:
    content = json.loads(bodies.stripe(name))
    subject = content["data"]["object"]
    for key in data.draw(st.lists(st.sampled_from(sorted(subject)), min_size=1, max_size=3)):
        subject[key] = data.draw(json_values)
    try:
        event = parse(json.dumps(content).encode())
    except UnreadableEvent:
        return
    for facts in (event.payment, event.refund, event.dispute):
        assert facts is None or type(facts.amount_paise) is int


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_whatever_the_body_is_it_is_read_or_unreadable(body: bytes) -> None:
    try:
        parse(body)
    except UnreadableEvent as error:
        assert str(error)  # noqa: PT017 - either is right

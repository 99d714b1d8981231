"""What Razorpay's events say of payments, with every oddity that its bodies have."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.payments import PaymentFacts, Seen
from gateways.events import UnreadableEvent
from gateways.razorpay.webhooks import parse
from tests.gateways import bodies
from tests.gateways.bodies import Edit, edited

UPI = PaymentFacts(
    gateway="razorpay", payment_id="pay_ReF7hT2nVb5xKc", seen=Seen.CAPTURED, amount_paise=118_000,
    currency="INR", order_id="order_ReF6mQ9rWz1yLd", method="upi", fee_paise=2_785, tax_paise=425,
    happened_at=datetime.fromtimestamp(1794117588, UTC),
)  # fmt: skip
NETBANKING = PaymentFacts(
    gateway="razorpay", payment_id="pay_RgK3jW8pYd6zMf", seen=Seen.CAPTURED, amount_paise=590_000,
    currency="INR", order_id="order_RgK2nS5tXa4bQg", method="netbanking", fee_paise=13_924,
    tax_paise=2_124, happened_at=datetime.fromtimestamp(1794203984, UTC),
)  # fmt: skip
CARD = PaymentFacts(
    gateway="razorpay", payment_id="pay_RcA1dQ0kXw7uLm", seen=Seen.CAPTURED,
    amount_paise=1_180_000, currency="INR", order_id="order_RcA0pB3sYt2vNe", method="card",
    fee_paise=27_848, tax_paise=4_248, happened_at=datetime.fromtimestamp(1794031190, UTC),
)  # fmt: skip
SUBSCRIPTION = PaymentFacts(
    gateway="razorpay", payment_id="pay_RmZ3sH4xJp7kYp", seen=Seen.CAPTURED, amount_paise=118_000,
    currency="INR", order_id="order_RmZ4tI5yKq8lZq", method="card", fee_paise=2_785, tax_paise=425,
    happened_at=datetime.fromtimestamp(1794463001, UTC),
)  # fmt: skip
REFUNDED = PaymentFacts(
    gateway="razorpay", payment_id="pay_RtA2bC3dE4fG5h", seen=Seen.CAPTURED, amount_paise=590_000,
    currency="INR", order_id="order_RtA1zY9xW8vU7t", refunded_paise=590_000, method="card",
    fee_paise=13_924, tax_paise=2_124, happened_at=datetime.fromtimestamp(1794700000, UTC),
)  # fmt: skip
DISPUTE = json.loads(bodies.razorpay("payment.dispute.created"))["payload"]["dispute"]

TOLD: dict[str, PaymentFacts | None] = {
    "payment.captured.upi": UPI,
    "payment.captured.netbanking": NETBANKING,
    "payment.captured.card": CARD,
    "payment.authorized.netbanking": replace(
        NETBANKING, seen=Seen.AUTHORIZED, fee_paise=None, tax_paise=None
    ),
    "payment.failed.card": PaymentFacts(
        gateway="razorpay", payment_id="pay_RiP5lZ4rBg7cNh", seen=Seen.FAILED,
        amount_paise=250_000, currency="INR", order_id="order_RiP4oU1vDj8eRi", method="card",
        error_code="BAD_REQUEST_ERROR", error_reason="insufficient_funds",
        happened_at=datetime.fromtimestamp(1794290371, UTC),
    ),
    "order.paid.upi": replace(UPI, receipt="top-up-0193-77"),
    "payment_link.paid.upi": PaymentFacts(
        gateway="razorpay", payment_id="pay_RkU8pE1uGm4hVm", seen=Seen.CAPTURED,
        amount_paise=590_000, currency="INR", order_id="order_RkU7oD0tFl3gUl", receipt="link-77",
        method="upi", fee_paise=13_924, tax_paise=2_124,
        happened_at=datetime.fromtimestamp(1794376599, UTC),
    ),
    "subscription.charged.card": SUBSCRIPTION,
    "subscription.activated.card": SUBSCRIPTION,
    "subscription.pending": None,
    "refund.processed.card.partial": replace(CARD, refunded_paise=118_000),
    "refund.processed.card.full": PaymentFacts(
        gateway="razorpay", payment_id="pay_RqJ4vL9cOu2pDu", seen=Seen.CAPTURED,
        amount_paise=250_000, currency="INR", order_id="order_RqJ5wM0dPv3qEv",
        refunded_paise=250_000, method="card", fee_paise=5_900, tax_paise=900,
        happened_at=datetime.fromtimestamp(1794600000, UTC),
    ),
    "refund.created.upi.never_captured": PaymentFacts(
        gateway="razorpay", payment_id="pay_RsO5wM0dPv3qEv", seen=Seen.RETURNED,
        amount_paise=118_000, currency="INR", order_id="order_RsO6xN1eQw4rFw",
        refunded_paise=118_000, method="upi", happened_at=datetime.fromtimestamp(1794460000, UTC),
    ),
    "refund.created.card.pending": REFUNDED,
    "refund.created.card.processed": REFUNDED,
    "refund.failed.card": replace(REFUNDED, refunded_paise=0),
    "refund.speed_changed.card": REFUNDED,
    "payment.dispute.created": None,
    "payment.dispute.created.retrieval": None,
    "payment.dispute.under_review": None,
    "payment.dispute.action_required": None,
    "payment.dispute.won": None,
    "payment.dispute.lost": None,
    "payment.dispute.closed.fraud": None,
    "settlement.processed": None,
    "payment.downtime.started": None,
}  # fmt: skip


@pytest.mark.parametrize("name", bodies.RAZORPAY)
def test_an_event_tells_its_type_and_what_it_says_of_a_payment(name: str) -> None:
    body = bodies.razorpay(name)

    event = parse(body)

    assert event.type == json.loads(body)["event"]
    assert event.payment == TOLD[name]


@pytest.mark.parametrize("name", bodies.RAZORPAY)
def test_neither_the_order_of_keys_nor_unknown_ones_matter(name: str) -> None:
    content = json.loads(bodies.razorpay(name))

    turned = json.dumps(_turned_round(content)).encode()

    assert parse(turned) == parse(bodies.razorpay(name))


@pytest.mark.parametrize(
    "edit",
    [
        lambda event: event.pop("contains"),
        lambda event: event.update(contains=["order"]),
        lambda event: event.pop("entity"),
        lambda event: event.pop("account_id"),
        lambda event: event.pop("created_at"),
        lambda event: event["payload"].update(created_at=event.pop("created_at")),
        lambda event: event["payload"].update(other=None, another=[], third={"entity": 5}),
        lambda event: event["payload"].update(order=[]),
        lambda event: event["payload"].update(order={"entity": []}),
        lambda event: event["payload"].update(order={"entity": {"receipt": "no id"}}),
        lambda event: _payment_of(event).update(notes=[]),
        lambda event: _payment_of(event).update(notes={"receipt": "another"}),
        lambda event: _payment_of(event).update(captured="1"),
        lambda event: _payment_of(event).update(error_code="", error_reason=""),
        lambda event: _payment_of(event).update(email=5, contact=None, vpa=[]),
        lambda event: [_payment_of(event).pop(n) for n in ("reward", "base_amount", "captured")],
    ],
)  # fmt: skip
def test_what_comes_and_goes_from_year_to_year_changes_nothing(edit: Edit) -> None:
    assert parse(edited(bodies.razorpay("payment.captured.upi"), edit)).payment == UPI


@pytest.mark.parametrize(
    "edit",
    [
        lambda event: _order_of(event).update(id="order_SomebodyElses"),
        lambda event: _payment_of(event).update(order_id="order_SomebodyElses"),
        lambda event: _payment_of(event).update(order_id=None),
        lambda event: (_order_of(event).pop("id"), _payment_of(event).pop("order_id")),
        lambda event: _order_of(event).update(receipt=None),
        lambda event: _order_of(event).update(receipt=17),
        lambda event: _order_of(event).update(receipt="nul\x00"),
        lambda event: event["payload"].pop("order"),
    ],
)
def test_a_receipt_is_taken_from_the_order_of_the_payment_alone(edit: Edit) -> None:
    # Given notes in which a browser wrote a receipt of its own
    event = parse(edited(bodies.razorpay("order.paid.upi"), edit))

    assert event.payment is not None
    assert event.payment.receipt is None


@pytest.mark.parametrize(
    "name", ["payment.captured.upi", "subscription.charged.card", "refund.processed.card.partial"]
)
def test_an_event_with_a_dispute_in_it_tells_of_that_alone_by_whatever_name(name: str) -> None:
    disputed = edited(bodies.razorpay(name), lambda event: event["payload"].update(dispute=DISPUTE))

    event = parse(disputed)

    assert (event.payment, event.refund) == (None, None)
    assert event.dispute is not None


@pytest.mark.parametrize("kind", [None, 5, [], {}, "", "x" * 101, "nul\x00", "\ud800", "a\nb"])
def test_a_type_that_cannot_be_kept_is_none_and_the_payment_is_still_told(kind: object) -> None:
    event = parse(
        edited(bodies.razorpay("payment.captured.upi"), lambda event: event.update(event=kind))
    )

    assert (event.type, event.payment) == (None, UPI)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "the body is not JSON"),
        (b"not json", "the body is not JSON"),
        (b"\xff\xfe\x00", "the body is not JSON"),
        (b'{"event": NaN, "payload": {}}', "the body is not JSON"),
        (b'{"event": -Infinity, "payload": {}}', "the body is not JSON"),
        (b'{"n": ' + b"9" * 5_000 + b"}", "the body is not JSON"),
        (b"[" * 100_000, "the body is nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "the body is nested too deeply"),
        (b"[]", "the body must be a JSON object"),
        (b'"payment.captured"', "the body must be a JSON object"),
        (b"null", "the body must be a JSON object"),
        (b"{}", "payload must be a JSON object"),
        (b'{"event": "settlement.processed", "payload": []}', "payload must be a JSON object"),
    ],
)
def test_what_is_no_event_is_unreadable(body: bytes, problem: str) -> None:
    with pytest.raises(UnreadableEvent) as caught:
        parse(body)

    assert str(caught.value) == problem


@pytest.mark.parametrize(
    "kind", ["payment.authorized", "payment.captured", "payment.failed", "order.paid"]
)
@pytest.mark.parametrize("payment", [None, [], 5, {}, {"entity": None}, {"entity": []}])
def test_an_event_of_a_payment_without_one_is_unreadable(kind: str, payment: object) -> None:
    body = json.dumps({"event": kind, "payload": {"payment": payment}}).encode()

    with pytest.raises(UnreadableEvent, match=r"^payload.payment.entity must be a JSON object$"):
        parse(body)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", None),
        ("id", "pay_asha.rao@example.com\x00"),
        ("id", 9812345678),
        ("amount", "9812345678"),
        ("amount", 9812345678.5),
        ("amount", True),
        ("amount", -9812345678),
        ("amount", 2**80),
        ("currency", "9812345678"),
        ("status", "9812345678"),
        ("status", None),
    ],
)
def test_a_payment_that_makes_no_sense_is_unreadable_and_its_values_are_not_repeated(
    field: str, value: object
) -> None:
    spoilt = edited(
        bodies.razorpay("payment.captured.upi"),
        lambda event: _payment_of(event).update({field: value}),
    )

    with pytest.raises(UnreadableEvent) as caught:
        parse(spoilt)

    assert caught.value.place == f"payload.payment.{field}"
    assert "9812345678" not in str(caught.value)
    assert "asha" not in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(
    st.sampled_from(
        [
            "payment.captured.upi",
            "order.paid.upi",
            "refund.processed.card.full",
            "payment.dispute.created",
        ]
    ),
    st.data(),
)
def test_whatever_stands_in_a_field_it_is_read_or_unreadable(
    name: str, data: st.DataObject
) -> None:
    content = json.loads(bodies.razorpay(name))
    places = list(_places(content))
    for parent, key in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=3)):
        parent[key] = data.draw(json_values)
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


def _payment_of(event: dict[str, Any]) -> dict[str, Any]:
    entity: dict[str, Any] = event["payload"]["payment"]["entity"]
    return entity


def _order_of(event: dict[str, Any]) -> dict[str, Any]:
    entity: dict[str, Any] = event["payload"]["order"]["entity"]
    return entity


def _turned_round(value: Any) -> Any:
    """The same with the keys in the other order, and one more in each object of an entity."""
    if not isinstance(value, dict):
        return value
    turned = {key: _turned_round(value[key]) for key in reversed(value)}
    return {"new_in_2031": {"deep": [1]}, **turned} if "entity" in value else turned


def _places(value: Any) -> Any:
    """Every place in an object where another value can be put."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield value, key
            yield from _places(inner)

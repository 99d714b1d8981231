"""What is only noted never stops what counts: every body of both gateways, every field of it."""

import copy
import json
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateways.entity import COUNTS, Entity
from gateways.events import Event
from gateways.razorpay import webhooks as razorpay
from gateways.stripe import webhooks as stripe
from tests.gateways import bodies

Path = tuple[str | int, ...]

REMOVED = object()
NONSENSE = [
    None, "", "x", "no\nline", "\ud800", "9" * 5_000, 0, -1, 1.5, 10**30, True, [], [None], {},
    {"id": None}, REMOVED,
]  # fmt: skip
NOTED = ("method", "fee_paise", "tax_paise", "error_code", "error_reason", "reason_code",
         "respond_by")  # fmt: skip
"""Attributes of our facts that change nothing; `phase` is one at Stripe."""


def razorpay_paths(content: Any) -> Iterator[Path]:
    """The places of all that is only noted."""
    for name in content.keys() - {"event", "payload"}:
        yield from below((name,), content[name])
    for kind, holder in content["payload"].items():
        if not isinstance(holder, dict):
            yield "payload", kind
            continue
        place: Path = ("payload", kind, "entity")
        yield from noted_of(place, holder["entity"], "razorpay", kind)


def stripe_paths(content: Any) -> Iterator[Path]:
    """The places of all that is only noted."""
    for name in content.keys() - {"object", "type", "data"}:
        yield from below((name,), content[name])
    if subject := content.get("data", {}).get("object"):
        yield from noted_of(("data", "object"), subject, "stripe", subject["object"])


def noted_of(place: Path, entity: Any, gateway: Any, kind: str) -> Iterator[Path]:
    """The places of an entity that are only noted, those inside its objects included."""
    counts = COUNTS.get((gateway, kind), frozenset())
    inner = {"latest_charge": "charge", "metadata": "metadata", "payment_intent": "payment_intent"}
    for name, value in entity.items():
        if name not in counts:
            yield from below((*place, name), value)
        elif isinstance(value, dict):
            yield from noted_of((*place, name), value, gateway, inner.get(name, name))


def below(place: Path, value: Any) -> Iterator[Path]:
    """A place and all places inside it."""
    yield place
    names: Any = ()
    if isinstance(value, dict | list):
        names = value if isinstance(value, dict) else range(len(value))
    for name in names:
        yield from below((*place, name), value[name])


def changed(content: Any, place: Path, value: object) -> bytes:
    mutated = copy.deepcopy(content)
    *parents, last = place
    holder = mutated
    for name in parents:
        holder = holder[name]
    if value is REMOVED:
        del holder[last]
    else:
        holder[last] = value
    return json.dumps(mutated).encode()


def what_counts(event: Event, *, noted: tuple[str, ...]) -> tuple[object, ...]:
    """What an event says, without all that is only noted."""
    found: list[Any] = [event.payment, event.refund, event.dispute]
    return event.type, *(
        fact and replace(fact, **{f.name: None for f in fields(fact) if f.name in noted})
        for fact in found
    )


@pytest.mark.parametrize("name", bodies.RAZORPAY)
def test_no_noted_field_of_razorpay_decides(name: str) -> None:
    content = json.loads(bodies.razorpay(name))
    was = what_counts(razorpay.parse(bodies.razorpay(name)), noted=NOTED)

    for place in razorpay_paths(content):
        for value in NONSENSE:
            event = razorpay.parse(changed(content, place, value))
            assert what_counts(event, noted=NOTED) == was, (place, value)


@pytest.mark.parametrize("name", bodies.STRIPE)
def test_no_noted_field_of_stripe_decides(name: str) -> None:
    content, noted = json.loads(bodies.stripe(name)), (*NOTED, "phase")
    was = what_counts(stripe.parse(bodies.stripe(name)), noted=noted)

    for place in stripe_paths(content):
        for value in NONSENSE:
            event = stripe.parse(changed(content, place, value))
            assert what_counts(event, noted=noted) == was, (place, value)


@pytest.mark.parametrize("value", ["3540", 35.4, -1, True, [], 10**30])
def test_a_noted_field_that_cannot_be_read_is_none_and_named_in_one_line(value: object) -> None:
    content = json.loads(bodies.razorpay("payment.captured.upi"))

    with capture_logs() as logs:
        event = razorpay.parse(changed(content, ("payload", "payment", "entity", "fee"), value))

    assert event.payment is not None
    assert event.payment.fee_paise is None
    assert logs == [
        {"event": "field not noted", "gateway": "razorpay", "field": "payment.fee",
         "log_level": "warning"}
    ]  # fmt: skip


@pytest.mark.parametrize("value", [None, ""])
def test_a_noted_field_that_is_not_there_needs_no_line(value: object) -> None:
    with capture_logs() as logs:
        assert Entity("razorpay", "payment", {"fee": value}).noted_paise("fee") is None

    assert logs == []


def test_a_field_is_read_as_what_it_is() -> None:
    payment = Entity("razorpay", "payment", {"amount": 100, "fee": 2})

    with pytest.raises(LookupError, match=r"payment\.amount"):
        payment.noted_paise("amount")
    with pytest.raises(LookupError, match=r"payment\.fee"):
        payment.paise("fee")

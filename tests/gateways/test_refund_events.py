"""What the events of both gateways say of refunds and of payers' disputes."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from billing.returns import DisputeFacts, RefundFacts
from gateways.events import UnreadableEvent
from gateways.razorpay import webhooks as razorpay_webhooks
from gateways.stripe import webhooks as stripe_webhooks
from tests.gateways import bodies
from tests.gateways.bodies import Edit, edited

RECEIPT = "ref_0f4c2a9be1d84c77a3b5d6e7f8091a2b"
DUE = datetime.fromtimestamp(1795680000, UTC)

AT_RAZORPAY = RefundFacts(
    gateway="razorpay", refund_id="rfnd_RvB3cD4eF5gH6i", payment_id="pay_RtA2bC3dE4fG5h",
    amount_paise=590_000, seen="submitted", receipt=RECEIPT,
)  # fmt: skip
REFUNDS_AT_RAZORPAY = {
    "refund.created.card.pending": AT_RAZORPAY,
    "refund.created.card.processed": replace(AT_RAZORPAY, seen="processed"),
    "refund.speed_changed.card": AT_RAZORPAY,
    "refund.failed.card": replace(AT_RAZORPAY, seen="failed"),
    "refund.processed.card.partial": RefundFacts(
        "razorpay", "rfnd_RoE2tJ7aMs0nBs", "pay_RcA1dQ0kXw7uLm", 118_000, "processed"
    ),
    "refund.created.upi.never_captured": RefundFacts(
        "razorpay", "rfnd_RsO4vL9cOu2pDu", "pay_RsO5wM0dPv3qEv", 118_000, "submitted"
    ),
}
CHARGEBACK = DisputeFacts(
    gateway="razorpay", dispute_id="disp_RuT5wM0dPv3qEv", payment_id="pay_RcA1dQ0kXw7uLm",
    amount_paise=1_180_000, seen="open", moves_money=True, phase="chargeback",
    reason_code="goods_or_services_not_received_or_partially_received", respond_by=DUE,
)  # fmt: skip
DISPUTES_AT_RAZORPAY = {
    "payment.dispute.created": CHARGEBACK,
    "payment.dispute.under_review": replace(CHARGEBACK, seen="under_review"),
    "payment.dispute.action_required": replace(CHARGEBACK, seen="action_required"),
    "payment.dispute.won": replace(CHARGEBACK, seen="won"),
    "payment.dispute.lost": replace(CHARGEBACK, seen="lost"),
    "payment.dispute.closed.fraud": replace(
        CHARGEBACK, dispute_id="disp_RwU6xN1eQw4rFw", amount_paise=118_000, seen="closed",
        moves_money=False, phase="fraud", reason_code="suspected_fraud",
    ),
    "payment.dispute.created.retrieval": replace(
        CHARGEBACK, dispute_id="disp_RxV7yO2fRx5sGx", moves_money=False, phase="retrieval",
        reason_code="request_for_information",
    ),
}  # fmt: skip

AT_STRIPE = RefundFacts(
    gateway="stripe", refund_id="re_3Fixture00000042", payment_id="pi_3Fixture00000042",
    amount_paise=59_000, seen="processed", receipt=RECEIPT,
)  # fmt: skip
REFUNDS_AT_STRIPE = {
    "refund.created": AT_STRIPE,
    "refund.created.pending": replace(AT_STRIPE, seen="submitted"),
    "refund.updated.succeeded": AT_STRIPE,
    "refund.failed": replace(AT_STRIPE, seen="failed"),
    "charge.refund.updated": replace(AT_STRIPE, receipt=None),
}
WITHDRAWN = DisputeFacts(
    gateway="stripe", dispute_id="dp_1Fixture00000042", payment_id="pi_3Fixture00000042",
    amount_paise=118_000, seen="open", moves_money=True, phase="chargeback",
    reason_code="fraudulent", respond_by=DUE,
)  # fmt: skip
INQUIRY = replace(WITHDRAWN, dispute_id="dp_1Fixture00000043", moves_money=False, phase="inquiry")
DISPUTES_AT_STRIPE = {
    "charge.dispute.created": replace(WITHDRAWN, moves_money=False, phase=None),  # not yet
    "charge.dispute.funds_withdrawn": WITHDRAWN,
    "charge.dispute.updated": replace(WITHDRAWN, seen="under_review"),
    "charge.dispute.closed.won": replace(WITHDRAWN, seen="won"),
    "charge.dispute.funds_reinstated": replace(WITHDRAWN, seen="won"),
    "charge.dispute.closed.lost": replace(WITHDRAWN, seen="lost"),
    "charge.dispute.created.inquiry": INQUIRY,
    "charge.dispute.closed.inquiry": replace(INQUIRY, seen="closed", respond_by=None),
}


def disputed(event: str, status: str, **changes: object) -> DisputeFacts | None:
    """Return what an event of Razorpay's tells, with a status in its entity."""

    def edit(content: dict[str, Any]) -> None:
        content["event"] = f"payment.dispute.{event}"
        content["payload"]["dispute"]["entity"].update(status=status, **changes)

    return razorpay_webhooks.parse(edited(bodies.razorpay("payment.dispute.created"), edit)).dispute


def at_stripe(name: str, **changes: object) -> bytes:
    return edited(bodies.stripe(name), lambda content: content["data"]["object"].update(**changes))


# Razorpay


@pytest.mark.parametrize("name", REFUNDS_AT_RAZORPAY)
def test_an_event_of_a_refund_tells_of_it_and_of_the_payment(name: str) -> None:
    event = razorpay_webhooks.parse(bodies.razorpay(name))

    assert event.refund == REFUNDS_AT_RAZORPAY[name]
    assert event.payment is not None
    assert event.payment.payment_id == event.refund.payment_id
    assert event.dispute is None


@pytest.mark.parametrize("name", DISPUTES_AT_RAZORPAY)
def test_an_event_of_a_dispute_tells_of_it_alone(name: str) -> None:
    event = razorpay_webhooks.parse(bodies.razorpay(name))

    assert event.dispute == DISPUTES_AT_RAZORPAY[name]
    assert (event.payment, event.refund) == (None, None)


def test_a_refund_may_come_without_its_payment() -> None:
    body = edited(
        bodies.razorpay("refund.failed.card"), lambda content: content["payload"].pop("payment")
    )

    event = razorpay_webhooks.parse(body)

    assert (event.payment, event.refund) == (None, REFUNDS_AT_RAZORPAY["refund.failed.card"])


@pytest.mark.parametrize(
    ("event", "status", "seen"),
    [
        ("created", "open", "open"),
        ("created", "under_review", "under_review"),
        ("created", "lost", "lost"),
        ("something_new", "under_review", "under_review"),
        # a verdict, and a copy of the dispute from before it
        ("won", "open", "won"),
        ("won", "under_review", "won"),
        ("won", "lost", "won"),
        ("lost", "under_review", "lost"),
        ("lost", "won", "lost"),
        # each end is a kind of being closed
        ("closed", "open", "closed"),
        ("closed", "closed", "closed"),
        ("closed", "won", "won"),
        ("closed", "lost", "lost"),
        # a step, and a copy from before or after it
        ("under_review", "open", "under_review"),
        ("under_review", "won", "won"),
        ("action_required", "under_review", "action_required"),
        ("action_required", "lost", "lost"),
    ],
)
def test_the_name_of_an_event_and_the_status_say_how_a_dispute_stands(
    event: str, status: str, seen: str
) -> None:
    dispute = disputed(event, status)

    assert dispute is not None
    assert dispute.seen == seen


@pytest.mark.parametrize(
    "edit",
    [
        lambda event: event["payload"].pop("refund"),
        lambda event: event["payload"].update(refund=[]),
        lambda event: event["payload"].update(refund={"entity": []}),
        lambda event: event["payload"].update(refund={"entity": None}),
    ],
)
def test_an_event_of_a_refund_without_one_is_unreadable(edit: Edit) -> None:
    body = edited(bodies.razorpay("refund.processed.card.partial"), edit)

    with pytest.raises(UnreadableEvent, match=r"^payload.refund.entity must be a JSON object$"):
        razorpay_webhooks.parse(body)


@pytest.mark.parametrize("dispute", [None, [], {}, {"entity": []}])
def test_an_event_of_a_dispute_without_one_is_unreadable(dispute: object) -> None:
    body = edited(
        bodies.razorpay("payment.dispute.created"),
        lambda event: event["payload"].update(dispute=dispute),
    )

    with pytest.raises(UnreadableEvent, match=r"^payload.dispute.entity must be a JSON object$"):
        razorpay_webhooks.parse(body)


# Stripe


@pytest.mark.parametrize("name", REFUNDS_AT_STRIPE)
def test_an_event_of_a_refund_at_stripe_tells_of_it_alone(name: str) -> None:
    event = stripe_webhooks.parse(bodies.stripe(name))

    assert event.refund == REFUNDS_AT_STRIPE[name]
    assert (event.payment, event.dispute) == (None, None)


@pytest.mark.parametrize("name", DISPUTES_AT_STRIPE)
def test_an_event_of_a_dispute_at_stripe_tells_of_it_alone(name: str) -> None:
    event = stripe_webhooks.parse(bodies.stripe(name))

    assert event.dispute == DISPUTES_AT_STRIPE[name]
    assert (event.payment, event.refund) == (None, None)


def test_every_event_of_refunds_and_disputes_is_looked_at_here() -> None:
    looked_at = {*REFUNDS_AT_STRIPE, *DISPUTES_AT_STRIPE, "charge.refunded"}

    assert looked_at == {name for name in bodies.STRIPE if "refund" in name or "dispute" in name}


def test_a_running_total_tells_of_no_refund() -> None:
    event = stripe_webhooks.parse(bodies.stripe("charge.refunded"))

    assert (event.payment, event.refund, event.dispute) == (None, None, None)


@pytest.mark.parametrize("listed", [[], None])
def test_a_withdrawal_moved_money_whether_or_not_it_is_listed_yet(listed: object) -> None:
    event = stripe_webhooks.parse(
        at_stripe("charge.dispute.funds_withdrawn", balance_transactions=listed)
    )

    assert event.dispute == WITHDRAWN


@pytest.mark.parametrize("name", ["refund.created", "charge.dispute.created"])
def test_what_was_charged_without_an_intent_is_none_of_ours(name: str) -> None:
    event = stripe_webhooks.parse(at_stripe(name, payment_intent=None))

    assert event.type is not None
    assert (event.refund, event.dispute) == (None, None)


# What makes no sense


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", None),
        ("id", 9812345678),
        ("payment_id", None),
        ("payment_id", "pay_asha.rao@example.com\x00"),
        ("amount", "9812345678"),
        ("amount", -9812345678),
        ("amount", True),
        ("status", "9812345678"),
    ],
)
@pytest.mark.parametrize("kind", ["refund", "dispute"])
def test_what_makes_no_sense_is_unreadable_and_its_values_are_not_repeated(
    kind: str, field: str, value: object
) -> None:
    name = {"refund": "refund.processed.card.partial", "dispute": "payment.dispute.created"}[kind]
    body = edited(
        bodies.razorpay(name),
        lambda event: event["payload"][kind]["entity"].update({field: value}),
    )

    with pytest.raises(UnreadableEvent) as caught:
        razorpay_webhooks.parse(body)

    assert caught.value.place == f"payload.{kind}.{field}"
    assert "9812345678" not in str(caught.value)
    assert "asha" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", None),
        ("payment_intent", 9812345678),
        ("payment_intent", {"id": 9812345678}),
        ("amount", "9812345678"),
        ("status", "9812345678"),
        ("status", None),
    ],
)
@pytest.mark.parametrize("name", ["refund.created", "charge.dispute.created"])
def test_what_makes_no_sense_at_stripe_is_unreadable_and_its_values_are_not_repeated(
    name: str, field: str, value: object
) -> None:
    with pytest.raises(UnreadableEvent) as caught:
        stripe_webhooks.parse(at_stripe(name, **{field: value}))

    assert caught.value.place.startswith("data.object: ")
    assert "9812345678" not in str(caught.value)


@pytest.mark.parametrize(
    ("parse", "body"),
    [
        (stripe_webhooks.parse, bodies.stripe("refund.created")),
        (stripe_webhooks.parse, bodies.stripe("charge.dispute.created")),
    ],
)
def test_an_event_without_its_object_is_unreadable(
    parse: Callable[[bytes], object], body: bytes
) -> None:
    with pytest.raises(UnreadableEvent, match=r"^data.object must be a JSON object$"):
        parse(edited(body, lambda event: event["data"].update(object="re_1")))

"""Razorpay's webhooks: their signatures, and what they say of payments, refunds and disputes.

The receiver has `verify` judge the raw bytes; the worker has `parse` read what was recorded.
Signed is the body alone, with hex HMAC-SHA256 and the secret of the webhook, which is not that of
the API key (razorpay.com/docs/webhooks/validate-test). Neither a time nor the event's id is
signed: whoever has seen a body can send it again under another id, so nothing may rest on the id.
Written out here because the SDK takes the body as text and fails on headers beyond ASCII; the
tests hold it against the SDK.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from billing.payments import PaymentFacts
from billing.returns import DisputeFacts, DisputeSeen, RefundFacts
from gateways.entity import Entity
from gateways.errors import UnreadableAnswer
from gateways.events import Event, UnreadableEvent, name_of_type, object_at, read_object
from gateways.protocol import Headers
from gateways.razorpay.payment_facts import payment_facts
from gateways.razorpay.refund_facts import dispute_facts, refund_facts
from service.signatures import SignatureError, fits, is_hex_digest

_ALWAYS_ABOUT_A_PAYMENT = frozenset(
    {"payment.authorized", "payment.captured", "payment.failed", "order.paid"}
)
_REFUNDS = "refund."
_DISPUTES = "payment.dispute."
_STEPS: dict[str, DisputeSeen] = {
    "under_review": "under_review",
    "action_required": "action_required",
}
_VERDICTS: dict[str, DisputeSeen] = {"won": "won", "lost": "lost"}
_ENDS = frozenset({"won", "lost", "closed"})


def verify(secrets: Sequence[str], *, body: bytes, headers: Headers, now: datetime) -> None:  # noqa: ARG001
    """Check `X-Razorpay-Signature` against every secret, in constant time for each.

    Several secrets, because retries of what happened before a rotation are signed with the old
    one, for a day. No time is signed, so `now` does not count. Raises `SignatureError`.
    """
    signature = headers.get("X-Razorpay-Signature")
    if not signature:
        raise SignatureError("X-Razorpay-Signature is needed")
    if not is_hex_digest(signature):
        raise SignatureError("X-Razorpay-Signature must be 64 lower-case hex digits")
    if not fits(secrets, body, [signature]):
        raise SignatureError(
            "X-Razorpay-Signature fits no configured secret: RAZORPAY_WEBHOOK_SECRETS must hold"
            " the webhook's secret from Razorpay's dashboard, not the API key's"
        )


def event_id(body: bytes, headers: Headers) -> str | None:  # noqa: ARG001
    """Return the event's id, which is in a header that is not signed."""
    return headers.get("X-Razorpay-Event-Id")


def parse(body: bytes) -> Event:
    """Return what a body says, by its `payload`: `contains` does not list all of it.

    For a refund its status counts, not the name of the event: `refund.created` often comes with one
    that is processed. Events of disputes carry a copy of the payment whose state is unreliable: it
    is ignored. Raises `UnreadableEvent`.
    """
    event = read_object(body)
    name = event.get("event")
    kind = name_of_type(name)
    named = name if isinstance(name, str) else ""
    payload = object_at(event, "payload", "payload")
    try:
        if "dispute" in payload or named.startswith(_DISPUTES):
            return Event(kind, None, dispute=_dispute(payload, named.removeprefix(_DISPUTES)))
        return Event(kind, _payment(payload, named), refund=_refund(payload, named))
    except UnreadableAnswer as error:
        raise UnreadableEvent(f"payload.{error.field}", error.problem) from None


def _payment(payload: Mapping[str, object], name: str) -> PaymentFacts | None:
    find = _needed if name in _ALWAYS_ABOUT_A_PAYMENT else _entity
    payment = find(payload, "payment")
    if payment is None:
        return None
    return payment_facts(payment, receipt=_receipt(payload, payment))


def _refund(payload: Mapping[str, object], name: str) -> RefundFacts | None:
    find = _needed if name.startswith(_REFUNDS) else _entity
    refund = find(payload, "refund")
    return None if refund is None else refund_facts(refund)


def _dispute(payload: Mapping[str, object], said: str) -> DisputeFacts:
    """Return the dispute; `said` is the last part of the event's name."""
    facts = dispute_facts(_needed(payload, "dispute"))
    return replace(facts, seen=_seen(said, facts.seen))


def _seen(said: str, status: DisputeSeen) -> DisputeSeen:
    """Return how a dispute stands by the name of the event and by the entity in it."""
    # A verdict is what the event is sent for, and money hangs on it; the entities beside it are
    # copies that may lag (in Razorpay's sample of a dispute won, the payment is not captured yet).
    if said in _VERDICTS:
        return _VERDICTS[said]
    # A copy that is ahead of its event: what is over is not taken up again by a step before. And
    # each end is a kind of being closed, and the status says which.
    if status in _ENDS:
        return status
    return "closed" if said == "closed" else _STEPS.get(said, status)


def _entity(payload: Mapping[str, object], name: str) -> Mapping[str, object] | None:
    """Return an entity of the payload, or None if it has none of this name.

    There may be plain values beside the entities (`created_at`), and an empty object is `[]`.
    """
    holder = payload.get(name)
    entity = holder.get("entity") if isinstance(holder, dict) else None
    return entity if isinstance(entity, dict) else None


def _needed(payload: Mapping[str, object], name: str) -> Mapping[str, object]:
    """Return an entity of the payload; raises `UnreadableEvent` if it is missing."""
    entity = _entity(payload, name)
    if entity is None:
        raise UnreadableEvent(f"payload.{name}.entity", "must be a JSON object")
    return entity


def _receipt(payload: Mapping[str, object], payment: Mapping[str, object]) -> str | None:
    """Return the receipt of the payment's order, which our server wrote, if the order came too.

    Never read from the notes of the payment, which a browser writes.
    """
    order = _entity(payload, "order")
    if order is None or order.get("id") is None or order.get("id") != payment.get("order_id"):
        return None
    return Entity("razorpay", "order", order).receipt_or_none()

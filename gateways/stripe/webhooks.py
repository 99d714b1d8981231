"""Stripe's webhooks: their signatures, their ids, and what they say of money.

The receiver has `verify` judge the raw bytes; the worker has `parse` read what was recorded.
The header is `t=<unix seconds>,v1=<hex>`; signed is `<t>.<raw body>` with HMAC-SHA256, and the key
is the whole secret as it is shown, `whsec_` included (docs.stripe.com/webhooks). While a secret is
rolled there is a `v1` for each; `v0` is for Stripe's own tests. Written out here because the SDK
reads the clock and takes the body as text; the tests hold it against the SDK.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from billing.payments import PaymentFacts, Seen
from gateways.errors import UnreadableAnswer
from gateways.events import Event, UnreadableEvent, name_of_type, object_at, read_object
from gateways.protocol import Headers
from gateways.stripe.payment_facts import intent_facts, session_facts
from gateways.stripe.refund_facts import dispute_facts, refund_facts
from service.signatures import SignatureError, fits, is_hex_digest

TOLERANCE_SECONDS = 300
"""How old a signature may be; Stripe's libraries' value. They let one from the future pass: a
clock of ours that is behind must not cost a payment."""
_HEADER_MAX_LENGTH = 2_000

_THIN = "v2.core.event"
"""Names an object and holds nothing of it; not what our endpoint subscribes to."""
_OF_SESSIONS = frozenset(
    {
        "checkout.session.completed",
        "checkout.session.async_payment_succeeded",
        "checkout.session.async_payment_failed",
    }
)
_OF_INTENTS = frozenset(
    {
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "payment_intent.amount_capturable_updated",
    }
)
# Not charge.refunded: it has a charge's running total, and each refund counts by its own id.
# Reading both would count a refund twice.
_OF_REFUNDS = frozenset(
    {"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"}
)
_WITHDRAWN = "charge.dispute.funds_withdrawn"
_OF_DISPUTES = frozenset(
    {
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_reinstated",
        _WITHDRAWN,
    }
)
_READ = _OF_SESSIONS | _OF_INTENTS | _OF_REFUNDS | _OF_DISPUTES
_OF_FAILURE = frozenset({"checkout.session.async_payment_failed", "payment_intent.payment_failed"})


def verify(secrets: Sequence[str], *, body: bytes, headers: Headers, now: datetime) -> None:
    """Check `Stripe-Signature` against every secret, in constant time for each.

    Raises `SignatureError`.
    """
    header = headers.get("Stripe-Signature")
    if not header:
        raise SignatureError("Stripe-Signature is needed")
    timestamp, signatures = _parts_of(header)
    if now.timestamp() - int(timestamp) > TOLERANCE_SECONDS:
        raise SignatureError(
            f"Stripe-Signature is more than {TOLERANCE_SECONDS} seconds old by our clock"
        )
    if not fits(secrets, timestamp.encode() + b"." + body, signatures):
        raise SignatureError(
            "Stripe-Signature fits no configured secret: STRIPE_WEBHOOK_SECRETS must hold the"
            " signing secret of this endpoint, whsec_ included"
        )


def event_id(body: bytes, headers: Headers) -> str | None:  # noqa: ARG001
    """Return the event's id, which is in the signed body; None if it is missing or no text."""
    try:
        value = read_object(body).get("id")
    except UnreadableEvent:
        return None
    return value if isinstance(value, str) else None


def parse(body: bytes) -> Event:
    """Return what a body says; raises `UnreadableEvent`.

    Read are a payment's success and failure (sessions and intents), refunds and disputes. All other
    events say nothing to us, nor do sessions of subscriptions, which are not sold here.
    """
    event = read_object(body)
    kind = name_of_type(event.get("type"))
    if event.get("object") == _THIN:
        return Event(kind, None)
    if event.get("object") != "event":
        raise UnreadableEvent("object", "must be event")
    if kind is None or kind not in _READ:
        return Event(kind, None)
    subject = object_at(object_at(event, "data", "data"), "object", "data.object")
    try:
        return _event_of(kind, subject)
    except UnreadableAnswer as error:
        raise UnreadableEvent(f"data.object: {error.field}", error.problem) from None


def _event_of(kind: str, subject: Mapping[str, object]) -> Event:
    if kind not in _OF_REFUNDS | _OF_DISPUTES:
        return Event(kind, _payment(kind, subject))
    if "payment_intent" in subject and subject["payment_intent"] is None:
        return Event(kind, None)  # of a charge that was made without an intent: none of ours
    if kind in _OF_REFUNDS:
        return Event(kind, None, refund=refund_facts(subject))
    dispute = dispute_facts(subject)
    if kind == _WITHDRAWN:
        # The event says so, whether or not the list of withdrawals already shows it.
        dispute = replace(dispute, moves_money=True)
    return Event(kind, None, dispute=dispute)


def _parts_of(header: str) -> tuple[str, list[str]]:
    """Return the one timestamp and every `v1` that could be a signature."""
    parts = [part.strip().partition("=") for part in header[: _HEADER_MAX_LENGTH + 1].split(",")]
    timestamps = [value for name, _, value in parts if name == "t"]
    signatures = [value for name, _, value in parts if name == "v1" and is_hex_digest(value)]
    if len(header) > _HEADER_MAX_LENGTH or len(timestamps) != 1 or not signatures:
        raise SignatureError(
            "Stripe-Signature must be t=<unix seconds>,v1=<64 lower-case hex digits>"
        )
    [timestamp] = timestamps
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        raise SignatureError("t of Stripe-Signature must be unix seconds")
    return timestamp, signatures


def _payment(kind: str, subject: Mapping[str, object]) -> PaymentFacts | None:
    if kind in _OF_INTENTS:
        payment: PaymentFacts | None = intent_facts(subject)
    elif subject.get("mode") in ("subscription", "setup"):
        return None
    else:
        _, payment = session_facts(subject)
    if payment and payment.seen is Seen.CREATED and kind in _OF_FAILURE:
        # Stripe resets the intent to its beginning, and only the event says that it failed.
        return replace(payment, seen=Seen.FAILED)
    return payment

"""Razorpay's webhooks: whose they are, and what they tell of a payment.

The receiver has `verify` judge the raw bytes; the worker has `parse` read what was recorded.
Signed is the body alone, with hex HMAC-SHA256 and the secret of the webhook, which is not that of
the API key (razorpay.com/docs/webhooks/validate-test). Neither a time nor the event's id is
signed: whoever has seen a body can send it again under another id, so nothing may rest on the id.
Written out here because the SDK takes the body as text and fails on headers beyond ASCII; the
tests hold it against the SDK.
"""

from collections.abc import Mapping, Sequence

from billing.text import ID_MAX_LENGTH
from gateways.errors import UnreadableAnswer
from gateways.events import Event, UnreadableEvent, name_of_type, object_at, read_object
from gateways.razorpay_reading import payment_facts
from gateways.reading import Entity
from gateways.signatures import SignatureError, fits, is_hex_digest

_ALWAYS_ABOUT_A_PAYMENT = frozenset(
    {"payment.authorized", "payment.captured", "payment.failed", "order.paid"}
)
_DISPUTES = "payment.dispute."


def verify(secrets: Sequence[str], *, body: bytes, signature: str | None) -> None:
    """Check `X-Razorpay-Signature` against every secret, in constant time for each.

    Several secrets, because retries of what happened before a rotation are signed with the old
    one, for a day. Raises `SignatureError`.
    """
    if not signature:
        raise SignatureError("X-Razorpay-Signature is needed")
    if not is_hex_digest(signature):
        raise SignatureError("X-Razorpay-Signature must be 64 lower-case hex digits")
    if not fits(secrets, body, [signature]):
        raise SignatureError(
            "X-Razorpay-Signature fits no configured secret: RAZORPAY_WEBHOOK_SECRETS must hold"
            " the webhook's secret from Razorpay's dashboard, not the API key's"
        )


def parse(body: bytes) -> Event:
    """Return what a body tells, by what is in its `payload`: `contains` does not list all of it.

    Events of disputes carry a copy of the payment whose state is not to be relied on: they tell
    of none. Raises `UnreadableEvent`.
    """
    event = read_object(body)
    name = event.get("event")
    kind = name_of_type(name)
    payload = object_at(event, "payload", "payload")
    if "dispute" in payload or (isinstance(name, str) and name.startswith(_DISPUTES)):
        return Event(kind, None)
    payment = _entity(payload, "payment")
    if payment is None:
        if kind in _ALWAYS_ABOUT_A_PAYMENT:
            raise UnreadableEvent("payload.payment.entity", "must be a JSON object")
        return Event(kind, None)
    try:
        return Event(kind, payment_facts(payment, receipt=_receipt(payload, payment)))
    except UnreadableAnswer as error:
        raise UnreadableEvent(f"payload.{error.field}", error.problem) from None


def _entity(payload: Mapping[str, object], name: str) -> Mapping[str, object] | None:
    """Return an entity of the payload, or None where it holds none of this name.

    Beside the entities there may be plain values (`created_at`), and an empty object is `[]`.
    """
    holder = payload.get(name)
    entity = holder.get("entity") if isinstance(holder, dict) else None
    return entity if isinstance(entity, dict) else None


def _receipt(payload: Mapping[str, object], payment: Mapping[str, object]) -> str | None:
    """Return the receipt of the payment's order, which our server wrote, where the order came too.

    Never from the notes of the payment, which a browser writes.
    """
    order = _entity(payload, "order")
    if order is None or order.get("id") is None or order.get("id") != payment.get("order_id"):
        return None
    return Entity("razorpay", "order", order).text_or_none("receipt", max_length=ID_MAX_LENGTH)

"""Stripe's webhooks: whose they are, which event it is, and what they tell of a payment.

The receiver has `verify` judge the raw bytes; the worker has `parse` read what was recorded.
The header is `t=<unix seconds>,v1=<hex>`; signed is `<t>.<raw body>` with HMAC-SHA256, and the key
is the whole secret as it is shown, `whsec_` included (docs.stripe.com/webhooks). While a secret is
rolled there is a `v1` for each; `v0` is for Stripe's own tests. Written out here because the SDK
reads the clock and takes the body as text; the tests hold it against the SDK.
"""

from collections.abc import Sequence
from datetime import datetime

from gateways.events import UnreadableEvent, read_object
from gateways.signatures import SignatureError, fits, is_hex_digest

TOLERANCE_SECONDS = 300
"""How old a signature may be; Stripe's libraries' value. They let one from the future pass: a
clock of ours that is behind must not cost a payment."""
_HEADER_MAX_LENGTH = 2_000


def verify(secrets: Sequence[str], *, body: bytes, header: str | None, now: datetime) -> None:
    """Check `Stripe-Signature` against every secret, in constant time for each.

    Raises `SignatureError`.
    """
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


def event_id(body: bytes) -> str | None:
    """Return the event's id, which is in the body; None where there is no text in its place."""
    try:
        value = read_object(body).get("id")
    except UnreadableEvent:
        return None
    return value if isinstance(value, str) else None


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

"""Razorpay's webhooks: whose they are, and what they tell of a payment.

The receiver has `verify` judge the raw bytes; the worker has `parse` read what was recorded.
Signed is the body alone, with hex HMAC-SHA256 and the secret of the webhook, which is not that of
the API key (razorpay.com/docs/webhooks/validate-test). Neither a time nor the event's id is
signed: whoever has seen a body can send it again under another id, so nothing may rest on the id.
Written out here because the SDK takes the body as text and fails on headers beyond ASCII; the
tests hold it against the SDK.
"""

from collections.abc import Sequence

from gateways.signatures import SignatureError, fits, is_hex_digest


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

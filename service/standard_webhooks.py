"""Standard Webhooks 1.0.0 signatures (standardwebhooks.com), symmetric scheme `v1`.

Signed is `<id>.<timestamp>.<raw body>` with HMAC-SHA256; the header lists `v1,<base64>` texts
separated by spaces, so that a sender can rotate its secret. Written out here because the published
Python library takes the body as text and cannot verify one that is not UTF-8. The tests compare it
with that library.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

from service.signatures import SignatureError

TOLERANCE_SECONDS = 300
"""How far a timestamp may lie in the past or the future; the libraries' common value."""

ID_MAX_LENGTH = 255


def sign(secret: str, *, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of the `webhook-signature` header; `timestamp` in unix seconds."""
    return _signature(_key(secret), message_id, str(timestamp), body).decode()


def verify(
    secrets: Sequence[str],
    *,
    message_id: str | None,
    timestamp: str | None,
    signatures: str | None,
    body: bytes,
    now: datetime,
) -> None:
    """Check the three headers of a delivery against every secret, in constant time for each.

    Raises `SignatureError` if a header is missing or malformed, the timestamp lies outside
    the tolerance, or no listed signature fits.
    """
    if not message_id or not timestamp or not signatures:
        raise SignatureError("webhook-id, webhook-timestamp and webhook-signature are needed")
    if len(message_id) > ID_MAX_LENGTH or not (message_id.isascii() and message_id.isprintable()):
        raise SignatureError(
            f"webhook-id must be at most {ID_MAX_LENGTH} printable ASCII characters"
        )
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        raise SignatureError("webhook-timestamp must be unix seconds")
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
        raise SignatureError(
            f"webhook-timestamp is more than {TOLERANCE_SECONDS} seconds from our clock"
        )
    offered = [s for s in signatures.encode("latin-1", "replace").split(b" ") if s]
    for secret in secrets:
        expected = _signature(_key(secret), message_id, timestamp, body)
        if any(hmac.compare_digest(expected, candidate) for candidate in offered):
            return
    raise SignatureError("no listed signature fits the body and a configured secret")


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"))


def _signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> bytes:
    signed = b"".join((message_id.encode(), b".", timestamp.encode(), b".", body))
    return b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256))

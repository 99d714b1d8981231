"""Standard Webhooks 1.0.0 signatures (standardwebhooks.com), symmetric scheme `v1`."""

import base64
import binascii
import hashlib
import hmac
import time

from billing_client.errors import InvalidRequest

TOLERANCE_SECONDS = 300
"""How old a signature may be when the receiver gets it."""


class Signer:
    """Signs messages with one secret, which it never shows."""

    def __init__(self, secret: str, name: str = "webhook_secret") -> None:
        """Take a secret (`whsec_` and base64) of the argument `name`.

        Raises `InvalidRequest` if it is not one.
        """
        try:
            if not isinstance(secret, str):
                raise TypeError
            self._key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (TypeError, binascii.Error, ValueError):
            self._key = b""
        if not 24 <= len(self._key) <= 64:
            raise InvalidRequest(f"{name}: must be whsec_ followed by the base64 of 24 to 64 bytes")

    def sign(self, message_id: str, timestamp: int, body: bytes) -> str:
        """Return the `webhook-signature` of a message; `timestamp` in unix seconds."""
        signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
        digest = hmac.digest(self._key, signed, hashlib.sha256)
        return f"v1,{base64.b64encode(digest).decode()}"


def signed_headers(signer: Signer, message_id: str, body: bytes) -> dict[str, str]:
    """Return the headers of a delivery, signed with the current time."""
    timestamp = int(time.time())
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signer.sign(message_id, timestamp, body),
    }

"""What all verifiers of webhooks share: the error, and hex HMAC-SHA256."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence

is_hex_digest = re.compile("[0-9a-f]{64}").fullmatch
"""Whether a text could be an HMAC-SHA256 as Razorpay and Stripe write it: hex in lower case."""


class SignatureError(Exception):
    """The delivery is not proven to come from somebody who knows a secret.

    The message says what to do about it and repeats nothing that was sent.
    """


def fits(secrets: Sequence[str], message: bytes, digests: Iterable[str]) -> bool:
    """Tell whether one of `digests`, each a hex digest, signs `message` by one of `secrets`.

    A secret is the UTF-8 of the whole text, whatever it looks like. Takes constant time for each
    pair of secret and digest.
    """
    offered = [digest.encode() for digest in digests]
    for secret in secrets:
        expected = hmac.digest(secret.encode(), message, hashlib.sha256).hex().encode()
        if any(hmac.compare_digest(expected, digest) for digest in offered):
            return True
    return False

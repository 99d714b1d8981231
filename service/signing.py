"""What only this installation can read or could have written: encryption, and signed tokens.

The keys are derived from `WEB_SECRETS`, one for each secret and purpose (`Label`), by HKDF with
SHA-256 (RFC 5869): who learns the key of one purpose learns nothing of another. The first secret
encrypts and signs; each of them decrypts and verifies, so that a secret is rotated by putting a new
one in front and taking the old one away later.

Used by `billing/notices` (the secrets of endpoints, the links in mails), and so by `web/`.
"""

import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from os import urandom
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from itsdangerous import BadData, TimestampSigner, URLSafeTimedSerializer

import clock
import settings
from errors import PermanentError


class Label(StrEnum):
    """What a key is for. The text goes into the key: it stands for ever."""

    NOTICE_SECRETS = "notice-secrets"
    """Encrypts the secrets by which notices are signed."""
    UNSUBSCRIBE = "unsubscribe"
    """Signs the address at which a mail is unsubscribed from."""
    LINK = "link"
    """Signs other links in mails: to confirm an address, to pay for a renewal."""
    ADDRESSES = "addresses"
    """Stands for an address that was asked to confirm, once the address itself is forgotten."""


class NoWebSecret(PermanentError):
    """There is nothing to derive a key from."""

    def __init__(self) -> None:
        super().__init__(
            "WEB_SECRETS is not set: nothing can be encrypted or signed without it; make one with"
            " `openssl rand -base64 32` and give it to every process"
        )


class CannotDecrypt(PermanentError):
    """It was changed, or encrypted by a secret that is no longer in `WEB_SECRETS`."""

    def __init__(self) -> None:
        super().__init__(
            "cannot decrypt: no secret in WEB_SECRETS fits; if one was taken away, add it again"
            " behind the others"
        )


class BadToken(PermanentError):
    """It was not signed here, or not for this purpose, or it was changed on its way."""

    def __init__(self) -> None:
        super().__init__("this token was not made here, or was changed on its way")


class ExpiredToken(PermanentError):
    """It was signed here, and too long ago."""

    def __init__(self, payload: Mapping[str, Any], signed_at: datetime) -> None:
        """`payload` is what it said: enough to explain, and no proof any longer."""
        self.payload = dict(payload)
        self.signed_at = signed_at
        super().__init__(f"this token of {signed_at:%Y-%m-%d} has expired")


def require_secret() -> None:
    """Raise `NoWebSecret` if there is none: for a process that can do nothing without."""
    if not settings.get().web_secrets:
        raise NoWebSecret


def encrypt(label: Label, data: bytes) -> bytes:
    """Return `data`, encrypted by the first secret; 29 bytes longer, another at each call.

    AES-256-GCM by the interface of RFC 5116, 5.2, with a random nonce of 96 bits. A key is good for
    2**32 of them (NIST SP 800-38D, 8.3). Raises `NoWebSecret`.
    """
    nonce = urandom(_NONCE_BYTES)
    return _VERSION + nonce + AESGCM(_keys(label)[0]).encrypt(nonce, data, _VERSION)


def decrypt(label: Label, data: bytes) -> bytes:
    """Return what was encrypted for this purpose by any of the secrets.

    Raises `CannotDecrypt`, `NoWebSecret`.
    """
    found = _decrypted(_keys(label), data)
    if found is None:
        raise CannotDecrypt
    return found


def is_current(label: Label, data: bytes) -> bool:
    """Return whether the first secret alone decrypts it: the others are not needed for it.

    Raises `NoWebSecret`.
    """
    return _decrypted(_keys(label)[:1], data) is not None


def sign(label: Label, payload: Mapping[str, Any]) -> str:
    """Return a token that holds `payload` (JSON) for all to read and for nobody to change.

    It is safe in an address: letters, digits and `-_.`. It says when it was signed, by our clock.
    Raises `NoWebSecret`.
    """
    return str(_serializer(label).dumps(dict(payload)))


def read(label: Label, token: str, *, max_age: timedelta | None) -> dict[str, Any]:
    """Return the payload of a token that any of the secrets signed for this purpose.

    `max_age` is how old it may be, None: as old as it likes. Raises `BadToken`, `ExpiredToken`,
    `NoWebSecret`.
    """
    try:
        payload, signed_at = _serializer(label).loads(token, return_timestamp=True)
    except BadData:
        raise BadToken from None
    if not isinstance(payload, dict):
        raise BadToken
    if max_age is not None and clock.now() - signed_at > max_age:
        raise ExpiredToken(payload, signed_at)
    return payload


def digests(label: Label, text: str) -> tuple[str, ...]:
    """Return what stands for a text that is not kept: by the first secret, then by each other.

    HMAC-SHA256, its first 128 bits in hexadecimal digits. Raises `NoWebSecret`.
    """
    return tuple(hmac.digest(key, text.encode(), sha256).hex()[:32] for key in _keys(label))


_VERSION = b"\x01"
"""Of the form of what `encrypt` returns; authenticated with it."""
_NONCE_BYTES = 12


def _decrypted(keys: Iterable[bytes], data: bytes) -> bytes | None:
    version, nonce, rest = data[:1], data[1 : 1 + _NONCE_BYTES], data[1 + _NONCE_BYTES :]
    if version != _VERSION or len(nonce) < _NONCE_BYTES:
        return None
    for key in keys:
        try:
            return AESGCM(key).decrypt(nonce, rest, version)
        except InvalidTag:
            continue
    return None


def _keys(label: Label) -> tuple[bytes, ...]:
    """Return the keys of a purpose, that of the newest secret first. Raises `NoWebSecret`."""
    require_secret()
    secrets = settings.get().web_secrets
    return tuple(_derived(secret.get_secret_value(), label) for secret in secrets)


@lru_cache(maxsize=64)
def _derived(secret: str, label: Label) -> bytes:
    # Without a salt, which RFC 5869, 3.1 allows: the secret is random itself.
    info = f"credit-billing {label}".encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret.encode())


class _Signer(TimestampSigner):
    """HMAC-SHA256 with keys that are derived already; the time is that of our clock."""

    default_key_derivation = "none"
    default_digest_method = staticmethod(sha256)

    def get_timestamp(self) -> int:
        return int(clock.now().timestamp())


def _serializer(label: Label) -> URLSafeTimedSerializer:
    # itsdangerous signs by the last key and verifies by each.
    keys = list(reversed(_keys(label)))
    return URLSafeTimedSerializer(keys, signer=_Signer)

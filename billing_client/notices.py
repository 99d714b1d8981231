"""`verify_notice`: makes a typed notice of what the back office has sent, by its signature.

Standard Webhooks 1.0.0 (standardwebhooks.com): signed is `<id>.<timestamp>.<body>`, so the body is
needed as the bytes that were received. `notice_types.py` has the types; `flask_notices.py` is a
whole endpoint.
"""

import hmac
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from billing_client.errors import (
    InvalidRequest,
    NoticeForged,
    NoticeNotSigned,
    NoticeTimestampOff,
    NoticeUnreadable,
)
from billing_client.notice_types import TYPES, Notice
from billing_client.reading import Unreadable, read
from billing_client.signing import TOLERANCE_SECONDS, Signer

Headers = Mapping[Any, Any] | Iterable[tuple[Any, Any]]
"""The headers of any framework: a mapping, Django's `request.META`, or the pairs of ASGI."""


@dataclass(frozen=True, slots=True)
class _Envelope:
    type: str
    timestamp: datetime
    data: Mapping[str, Any]


ID_MAX_LENGTH = 255
_NAMES = ("webhook-id", "webhook-timestamp", "webhook-signature")


def verify_notice(
    body: bytes,
    headers: Headers,
    secrets: str | Iterable[str],
    *,
    tolerance: timedelta = timedelta(seconds=TOLERANCE_SECONDS),
    now: datetime | None = None,
) -> Notice:
    """Return the notice that `body` is, if it is signed with one of the secrets.

    `body` is what was received, before anything has parsed it. `secrets` are those of the endpoint
    (`whsec_...`): one, or during a rotation both. The timestamp may lie `tolerance` before or after
    `now`, by default this computer's time. A topic that this version knows has a class of its own,
    such as `BalanceLow`; any other is a plain `Notice`, with its `data`.

    A notice comes at least once, perhaps late: `Notice.id` is the same at every attempt.

    Raises `NoticeNotSigned`, `NoticeTimestampOff`, `NoticeForged`, `NoticeUnreadable`, all of them
    `NoticeRefused`; and `InvalidRequest` if an argument is wrong.
    """
    if not isinstance(body, bytes | bytearray | memoryview):
        raise InvalidRequest(
            f"body: must be the bytes that were received, not {type(body).__name__}: verify before"
            " anything parses them (in Flask, request.get_data())"
        )
    received = bytes(body)
    signers = signers_of(secrets)
    message_id, timestamp, signatures = _signed(_header_values(headers))
    _check_timestamp(timestamp, tolerance, time.time() if now is None else _seconds(now))
    _check_signature(message_id, timestamp, signatures, received, signers)
    return _notice_in(received, message_id)


def signers_of(secrets: str | Iterable[str]) -> tuple[Signer, ...]:
    """Return what verifies with each secret. Raises `InvalidRequest`, which names its place."""
    listed = listed_secrets(secrets)
    if not listed:
        raise InvalidRequest("secrets: give the secret of the endpoint, whsec_...")
    return tuple(Signer(one, f"secrets[{place}]") for place, one in enumerate(listed))


def listed_secrets(secrets: str | Iterable[str]) -> tuple[str, ...]:
    """Return one secret or several as they are; of what is neither, none."""
    if isinstance(secrets, str):
        return (secrets,)
    return tuple(secrets) if isinstance(secrets, Iterable) else ()


def notice_of(notice_id: str, content: object) -> Notice:
    """Return the notice with this id; `content` has `type`, `timestamp` and `data`.

    Raises `Unreadable`, which names the field.
    """
    envelope = read(_Envelope, content)
    kind = TYPES.get(envelope.type, Notice)
    return read(
        kind,
        envelope.data,
        id=notice_id,
        topic=envelope.type,
        timestamp=envelope.timestamp,
        data=envelope.data,
    )


def _notice_in(body: bytes, notice_id: str) -> Notice:
    try:
        content = json.loads(body.decode())
    except UnicodeDecodeError:
        raise NoticeUnreadable("the body is not UTF-8") from None
    except (ValueError, RecursionError):
        raise NoticeUnreadable("the body is not JSON") from None
    try:
        return notice_of(notice_id, content)
    except Unreadable as problem:
        raise NoticeUnreadable(f"the body is no notice: {problem}") from None


def _check_timestamp(timestamp: int, tolerance: timedelta, now: float) -> None:
    off, allowed = round(now - timestamp), round(tolerance.total_seconds())
    if abs(off) > allowed:
        where = "old" if off > 0 else "ahead of this computer's clock"
        raise NoticeTimestampOff(
            f"webhook-timestamp: {abs(off)} seconds {where}, {allowed} are allowed: if the sender"
            " is yours, compare the clocks",
            off_seconds=off,
        )


def _check_signature(
    message_id: str, timestamp: int, listed: str, body: bytes, signers: Sequence[Signer]
) -> None:
    offered = [one for one in listed.encode(errors="replace").split(b" ") if one]
    for signer in signers:
        expected = signer.sign(message_id, timestamp, body).encode()
        if any(hmac.compare_digest(expected, one) for one in offered):
            return
    raise NoticeForged(
        "no listed signature fits the body and a secret: give the secret that `billing notices"
        " endpoints add` has shown for this address, and the body as the bytes that were received"
    )


def _signed(values: Mapping[str, str]) -> tuple[str, int, str]:
    """Return the id, the unix seconds and the list of signatures."""
    missing = [name for name in _NAMES if not values.get(name)]
    if missing:
        raise NoticeNotSigned(f"{', '.join(missing)}: missing, so nobody has signed this")
    message_id, timestamp, signatures = (values[name] for name in _NAMES)
    if len(message_id) > ID_MAX_LENGTH or not _is_visible(message_id) or "." in message_id:
        raise NoticeNotSigned(
            f"webhook-id: must be at most {ID_MAX_LENGTH} visible ASCII characters without a dot"
        )
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        raise NoticeNotSigned("webhook-timestamp: must be unix seconds")
    if str(int(timestamp)) != timestamp:
        raise NoticeNotSigned("webhook-timestamp: must not begin with a zero")
    return message_id, int(timestamp), signatures


def _header_values(headers: Headers) -> dict[str, str]:
    """Return the headers of the signature by their names in lower case."""
    pairs = headers.items() if hasattr(headers, "items") else headers
    values: dict[str, str] = {}
    try:
        for given, value in pairs:
            name = _text(given).lower().removeprefix("http_").replace("_", "-")
            if name not in _NAMES:
                continue
            if name in values:
                raise NoticeNotSigned(f"{name}: stands there twice")
            values[name] = _text(value).strip()
    except (TypeError, ValueError):
        raise InvalidRequest("headers: must be a mapping, or pairs of names and values") from None
    return values


def _text(value: object) -> str:
    if isinstance(value, bytes):  # of ASGI
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""


def _is_visible(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _seconds(moment: datetime) -> float:
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise InvalidRequest("now: must be a datetime with a time zone")
    return moment.timestamp()

"""Signed notices for the tests of those who receive them."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from billing.topics import CATALOGUE, PLATFORM_TOPICS, Topic, data_of
from billing_client.signing import Signer

SECRET = "whsec_" + base64.b64encode(b"of the tests of notices, " * 2).decode()[:44]
OLD_SECRET = "whsec_" + base64.b64encode(b"the secret before the rotation").decode()
OF_NOBODY = "whsec_" + base64.b64encode(b"a secret that nobody was given").decode()
TOPICS = (*PLATFORM_TOPICS, Topic.ENDPOINT_TEST)
"""All that a platform may be sent."""
NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def body_of(topic: str, data: Mapping[str, Any]) -> bytes:
    """The bytes of a notice, as the back office writes them."""
    content = {"type": topic, "timestamp": "2026-11-30T11:59:58.123456Z", "data": data}
    return json.dumps(content, separators=(",", ":")).encode()


def example(topic: Topic | str, **changes: Any) -> dict[str, Any]:
    """The data of the catalogue's example, with other values."""
    named = Topic(topic)
    known: Any = {**CATALOGUE[named].example, **changes}
    return data_of(named, known, account=known["account"], sequence=known["sequence"])


def signed(
    body: bytes, *, secret: str = SECRET, notice_id: str = "ntc_17", at: datetime = NOW
) -> dict[str, str]:
    """The headers of an attempt to deliver it."""
    timestamp = int(at.timestamp())
    return {
        "webhook-id": notice_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": Signer(secret).sign(notice_id, timestamp, body),
    }

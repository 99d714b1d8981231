"""What a notice's request says: the headers of Standard Webhooks 1.0.0, signed anew each time."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from service import standard_webhooks


def headers_of(
    notice_id: int, body: bytes, *, secrets: Sequence[str], now: datetime
) -> Mapping[str, str]:
    """Return the headers of one attempt at `now`, in real time: receivers compare their clock.

    Each of `secrets` signs, the newest first: a receiver may know the old one alone, or the new.
    """
    message_id, timestamp = f"ntc_{notice_id}", int(now.timestamp())
    signatures = (
        standard_webhooks.sign(secret, message_id=message_id, timestamp=timestamp, body=body)
        for secret in secrets
    )
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }

"""A notice that was given its position, as fan-out hands it to the rules of mails."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.topics import Topic


@dataclass(frozen=True, slots=True)
class PlacedNotice:
    """One notice, of its row."""

    notice_id: int
    position: int
    topic: Topic
    subject: str
    account_id: int | None
    account: str | None
    """Its reference."""
    product: str | None
    sequence: int | None
    created_at: datetime
    payload: Mapping[str, Any]
    """As the rules wrote it: more than what leaves by HTTP."""

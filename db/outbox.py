"""The outbox: notices for others, written in the transaction that made them true.

Row first here as well: a notice is sent from its row. None is sent for work that was rolled back,
and none is lost for work that was committed.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db import after_commit
from db.bulk import copy_rows
from service import request_ids


@dataclass(frozen=True, slots=True)
class NewNotice:
    """One notice: `topic` (`lead.charged`) about `subject` (`lead:L-17`)."""

    topic: str
    subject: str
    account_id: int | None
    payload: Mapping[str, Any]
    """Plain JSON values."""
    superseded: bool = False
    """A newer notice is written with it and replaces it: kept for the record, never sent."""
    request_id: str | None = field(default_factory=request_ids.current, compare=False)
    """Of the request that made it true."""


_COLUMNS = (
    "topic",
    "subject",
    "account_id",
    "payload",
    "created_at",
    "superseded_at",
    "request_id",
)


def write(session: Session, notices: Iterable[NewNotice], *, now: datetime) -> None:
    """Add the notices, in their order, to the caller's transaction; its commit nudges."""
    rows = [
        (
            str(n.topic),  # a `billing.topics.Topic` too
            n.subject,
            n.account_id,
            json.dumps(n.payload, separators=(",", ":")),
            now,
            now if n.superseded else None,
            n.request_id,
        )
        for n in notices
    ]
    if rows:
        copy_rows(session, "outbox_events", _COLUMNS, rows)
        after_commit.note_notices(session)

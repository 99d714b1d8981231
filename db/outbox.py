"""The outbox: what others are to hear of, written in the transaction that made it happen.

Row first here as well: a notice is sent from its row, so that none is sent for what was rolled
back and none is lost for what was not.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.bulk import copy_rows
from db.models import OutboxEvent


@dataclass(frozen=True, slots=True)
class NewNotice:
    """Something that happened: `topic` (`lead.charged`) about `subject` (`lead:L-17`)."""

    topic: str
    subject: str
    account_id: int | None
    payload: Mapping[str, Any]
    """Plain JSON values."""


_COLUMNS = ("topic", "subject", "account_id", "payload", "created_at")


def write(session: Session, notices: Iterable[NewNotice], *, now: datetime) -> None:
    """Add the notices, in their order, to the caller's transaction."""
    rows = [
        (n.topic, n.subject, n.account_id, json.dumps(n.payload, separators=(",", ":")), now)
        for n in notices
    ]
    if rows:
        copy_rows(session, "outbox_events", _COLUMNS, rows)


def newest(
    session: Session, *, topics: Sequence[str], account_id: int | None, limit: int
) -> Sequence[OutboxEvent]:
    """Return the newest notices of `topics`, newest first, of one account where given."""
    query = select(OutboxEvent).where(OutboxEvent.topic.in_(topics))
    if account_id is not None:
        query = query.where(OutboxEvent.account_id == account_id)
    return session.scalars(query.order_by(OutboxEvent.id.desc()).limit(limit)).all()

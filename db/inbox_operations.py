"""What operators do with the inbox: they list its rows, and make dead ones pending again."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.bulk import int_array
from db.models import InboundEvent
from db.pages import Page, Wanted, read_page

_REPLAY = text("""
UPDATE inbound_events
   SET state = 'pending', attempts = 0, next_attempt_at = :now, lease_id = NULL,
       lease_size = NULL, leased_until = NULL, handled_at = NULL
 WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'dead'
RETURNING id
""")


def replay(session: Session, event_ids: Sequence[int], *, now: datetime) -> list[int]:
    """Make dead rows pending again; return those that were dead. Their last error stays."""
    return sorted(session.scalars(_REPLAY, {"ids": int_array(event_ids), "now": now}))


def dead_ids(session: Session) -> list[int]:
    """Return the ids of all dead rows."""
    return list(
        session.scalars(
            select(InboundEvent.id).where(InboundEvent.state == "dead").order_by(InboundEvent.id)
        )
    )


def newest(
    session: Session, wanted: Wanted, *, state: str | None = None, source: str | None = None
) -> Page[InboundEvent]:
    """Return the newest rows, newest first, of one state or source if given."""
    query = select(InboundEvent)
    if state is not None:
        query = query.where(InboundEvent.state == state)
    if source is not None:
        query = query.where(InboundEvent.source == source)
    return read_page(
        session,
        query,
        wanted,
        by=[InboundEvent.id],
        time=InboundEvent.received_at,
        scalars=True,
    )

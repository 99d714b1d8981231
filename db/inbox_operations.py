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
 WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'dead' AND blanked_at IS NULL
RETURNING id
""")


def replay(session: Session, event_ids: Sequence[int], *, now: datetime) -> list[int]:
    """Make dead rows pending again; return those that were dead. Their last error stays.

    A row whose body was blanked stays dead: there is nothing left to work on.
    """
    return sorted(session.scalars(_REPLAY, {"ids": int_array(event_ids), "now": now}))


def dead_ids(session: Session) -> list[int]:
    """Return the ids of all dead rows that can be replayed."""
    dead = (InboundEvent.state == "dead", InboundEvent.blanked_at.is_(None))
    return list(session.scalars(select(InboundEvent.id).where(*dead).order_by(InboundEvent.id)))


def blanked_ids(session: Session, event_ids: Sequence[int]) -> list[int]:
    """Return which of these rows have lost their body; see `billing/privacy/`."""
    chosen = InboundEvent.id.in_(event_ids)
    blanked = select(InboundEvent.id).where(chosen, InboundEvent.blanked_at.is_not(None))
    return sorted(session.scalars(blanked))


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

"""The outbox: events to be sent to others."""

from datetime import datetime
from typing import Any

from sqlalchemy import Identity, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, OfRequest


class OutboxEvent(OfRequest, Base):
    """An event to be sent to others; see `db/outbox.py`."""

    __tablename__ = "outbox_events"
    __table_args__ = (
        Index(
            "ix_outbox_events_alerts",
            "id",
            postgresql_where=text("topic LIKE 'balance.%' OR topic LIKE 'gateway.%'"),
        ),
        # What `billing/notices/` has to place; an entry is dead as soon as its row is placed.
        Index(
            "ix_outbox_events_unplaced",
            "id",
            postgresql_where=text("position IS NULL AND superseded_at IS NULL"),
        ),
        Index(
            "uq_outbox_events_position",
            "position",
            unique=True,
            postgresql_where=text("position IS NOT NULL"),
        ),
        # For pages of notices. Leads are most of the rows, and only who asks for them by name is
        # shown them: a batch of leads is spared the entries.
        Index(
            "ix_outbox_events_product",
            "product",
            "position",
            postgresql_where=text("position IS NOT NULL AND topic <> 'lead.charged'"),
        ),
        Index(
            "ix_outbox_events_account",
            "account_id",
            "position",
            postgresql_where=text("position IS NOT NULL AND topic <> 'lead.charged'"),
        ),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    topic: Mapped[str]
    subject: Mapped[str]
    """Its subject: `lead:L-17`, `account:clinic:42`."""
    account_id: Mapped[int | None]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime]
    superseded_at: Mapped[datetime | None]
    """Set when a newer event replaced it: it is kept as a record and not sent."""
    position: Mapped[int | None]
    """1, 2, 3 ... in the order of the commits, given after the commit; who has seen one position
    has seen all below it. None: not placed yet, or superseded. `billing/notices/` writes this and
    what follows."""
    sequence: Mapped[int | None]
    """1, 2, 3 ... among the notices of its account."""
    product: Mapped[str | None]
    """Of its account, when it was placed."""
    body: Mapped[bytes | None]
    """What each endpoint is sent, to the byte."""

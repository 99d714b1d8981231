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

"""The outbox: what others are to hear of."""

from datetime import datetime
from typing import Any

from sqlalchemy import Identity, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class OutboxEvent(Base):
    """Something that happened and that others are to hear of: the outbox; see `db/outbox.py`."""

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
    """What it is about: `lead:L-17`, `account:clinic:42`."""
    account_id: Mapped[int | None]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime]
    superseded_at: Mapped[datetime | None]
    """Set where a newer one says it better: it is kept for the record and not sent."""

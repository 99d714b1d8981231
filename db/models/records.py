"""What others hear of, what auditors read, and when the books were verified."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Identity, Index, text
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


class AuditEntry(Base):
    """Who changed what that is not itself a ledger row, and through which door; append-only."""

    __tablename__ = "billing_audit_log"
    __table_args__ = (
        CheckConstraint("door IN ('cli', 'api', 'webhook', 'celery', 'beat')", name="door"),
        Index(None, "subject", "id"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    created_at: Mapped[datetime]
    actor: Mapped[str]
    door: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    """What was changed: `account:clinic:42`, `hold:17`."""
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class LedgerCheck(Base):
    """One scheduled verification of the ledger; unfinished where its process died."""

    __tablename__ = "ledger_checks"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    accounts: Mapped[int | None]
    transactions: Mapped[int | None]
    breaches: Mapped[int | None]

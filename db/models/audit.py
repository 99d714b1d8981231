"""The audit log: who changed what that is not itself a ledger row."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Identity, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


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

"""The audit log: changes that are not ledger rows, and who made them."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Identity, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, OfRequest


class AuditEntry(OfRequest, Base):
    """A change that is not a ledger row, who made it and through which door; append-only."""

    __tablename__ = "billing_audit_log"
    __table_args__ = (
        CheckConstraint("door IN ('cli', 'api', 'webhook', 'celery', 'beat', 'web')", name="door"),
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

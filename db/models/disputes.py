"""Disputes of leads, and the quality scores of accounts and lead sources."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, OfRequest


class LeadDispute(OfRequest, Base):
    """A clinic says that a lead was bad; see `billing/disputes/`."""

    __tablename__ = "lead_disputes"
    __table_args__ = (
        UniqueConstraint("request_key"),
        CheckConstraint(
            "state IN ('pending', 'approved', 'partially_approved', 'rejected', 'withdrawn')",
            name="state",
        ),
        CheckConstraint("(state = 'pending') = (resolved_at IS NULL)", name="resolved"),
        CheckConstraint("credits_refunded >= 0", name="credits_refunded"),
        CheckConstraint(
            "(state IN ('approved', 'partially_approved')) = (credits_refunded > 0)",
            name="refunded",
        ),
        Index("uq_lead_disputes_open", "lead_id", unique=True,
              postgresql_where=text("state = 'pending'")),
        Index(None, "account_id", "created_at"),
        Index(None, "lead_id"),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    lead_id: Mapped[str] = mapped_column(ForeignKey("lead_charges.lead_id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    type: Mapped[str]
    """One of the catalog's dispute types."""
    description: Mapped[str]
    evidence: Mapped[Any | None] = mapped_column(JSONB)
    state: Mapped[str]
    request_key: Mapped[str]
    """Key of the request that opened it; the same request again opens nothing."""
    opened_by: Mapped[str]
    created_at: Mapped[datetime]
    resolved_by: Mapped[str | None]
    resolved_at: Mapped[datetime | None]
    notes: Mapped[str | None]
    credits_refunded: Mapped[int] = mapped_column(server_default=text("0"))


class QualityScore(Base):
    """The share of an account's or a source's leads that is disputed."""

    __tablename__ = "quality_scores"
    __table_args__ = (
        CheckConstraint("subject_kind IN ('account', 'source')", name="subject_kind"),
        CheckConstraint("grade IS NULL OR grade IN ('good', 'average', 'poor')", name="grade"),
    )

    subject_kind: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    """The account's reference, or the name of the lead source."""
    leads: Mapped[int]
    disputes: Mapped[int]
    grade: Mapped[str | None]
    """None: too few leads for a grade."""
    needs_review: Mapped[bool]
    computed_at: Mapped[datetime]

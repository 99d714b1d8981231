"""Leads: what was charged, what is disputed, and how good they are."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class LeadCharge(Base):
    """What became of a lead: charged, or parked until there is credit; see `billing/leads.py`."""

    __tablename__ = "lead_charges"
    __table_args__ = (
        CheckConstraint(
            "state IN ('charged', 'parked', 'conflict', 'refunded', 'cancelled')", name="state"
        ),
        CheckConstraint(
            "(transaction_id IS NULL) = (state IN ('parked', 'conflict', 'cancelled'))",
            name="charged",
        ),
        Index(
            "ix_lead_charges_parked",
            "account_id",
            "parked_number",
            postgresql_where=text("state = 'parked'"),
        ),
    )

    lead_id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    package_price_paise: Mapped[int]
    credits: Mapped[int]
    state: Mapped[str]
    transaction_id: Mapped[int | None]
    """Its ledger row; without a foreign key for the reason given at `LotMovement`."""
    source: Mapped[str | None]
    occurred_at: Mapped[datetime]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    parked_number: Mapped[int | None] = mapped_column(
        server_default=text("nextval('lead_parking_seq')")
    )
    """Its place among the parked: the lowest of an account is released first."""


class LeadConflict(Base):
    """A request for a lead that is on record with another account or package; nothing was taken.

    Append-only.
    """

    __tablename__ = "lead_conflicts"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    lead_id: Mapped[str] = mapped_column(index=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    package_price_paise: Mapped[int]
    actor: Mapped[str]
    created_at: Mapped[datetime]


class LeadDispute(Base):
    """A clinic says that a lead was bad; see `billing/disputes.py`."""

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
    """Of the request that opened it: the same once more opens nothing."""
    opened_by: Mapped[str]
    created_at: Mapped[datetime]
    resolved_by: Mapped[str | None]
    resolved_at: Mapped[datetime | None]
    notes: Mapped[str | None]
    credits_refunded: Mapped[int] = mapped_column(server_default=text("0"))


class QualityScore(Base):
    """How much of the leads of an account or a source is disputed; see `billing/quality.py`."""

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
    """None: too few leads to tell."""
    needs_review: Mapped[bool]
    computed_at: Mapped[datetime]

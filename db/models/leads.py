"""Leads: charged or parked ones, and requests that did not match the record."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, OfRequest


class LeadCharge(OfRequest, Base):
    """A lead: charged, or parked until there is credit; see `billing/leads/`."""

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
        Index("ix_lead_charges_account", "account_id", "created_at", "lead_id"),
        Index(
            "ix_lead_charges_uncommon",
            "account_id",
            "created_at",
            "lead_id",
            postgresql_where=text("state <> 'charged'"),
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


class LeadConflict(OfRequest, Base):
    """A request for a lead that is on record with another account or package price.

    Nothing was taken. Append-only.
    """

    __tablename__ = "lead_conflicts"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    lead_id: Mapped[str] = mapped_column(index=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    package_price_paise: Mapped[int]
    actor: Mapped[str]
    created_at: Mapped[datetime]

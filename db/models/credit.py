"""Holds and their events."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, OfRequest


class Hold(OfRequest, Base):
    """Credit set aside for a charge whose amount is not yet known."""

    __tablename__ = "holds"
    __table_args__ = (
        UniqueConstraint("idempotency_key"),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("captured BETWEEN 0 AND amount", name="captured"),
        CheckConstraint("state IN ('open', 'captured', 'voided', 'expired')", name="state"),
        CheckConstraint("(state = 'open') = (finished_at IS NULL)", name="finished"),
        CheckConstraint("(state = 'captured') = (transaction_id IS NOT NULL)", name="transaction"),
        Index("ix_holds_open", "expires_at", postgresql_where=text("state = 'open'")),
        Index("ix_holds_open_account", "account_id", postgresql_where=text("state = 'open'")),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    amount: Mapped[int]
    captured: Mapped[int] = mapped_column(server_default=text("0"))
    state: Mapped[str]
    idempotency_key: Mapped[str]
    finish_key: Mapped[str | None]
    """The key of the request that captured or voided it."""
    kind: Mapped[str]
    """The kind of the charge that a capture posts."""
    actor: Mapped[str]
    description: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    """None: it never expires (credit frozen for a chargeback)."""
    finished_at: Mapped[datetime | None]
    transaction_id: Mapped[int | None] = mapped_column(ForeignKey("credit_transactions.id"))


class HoldEvent(OfRequest, Base):
    """One step of a hold; append-only."""

    __tablename__ = "hold_events"
    __table_args__ = (
        CheckConstraint(
            "event IN ('placed', 'captured', 'released', 'voided', 'expired')", name="event"
        ),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    hold_id: Mapped[int] = mapped_column(ForeignKey("holds.id"), index=True)
    event: Mapped[str]
    amount: Mapped[int]
    actor: Mapped[str]
    created_at: Mapped[datetime]

"""Refunds and chargebacks: money that goes back, and the credit that it takes along."""

from datetime import datetime
from typing import Literal

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, OfRequest


class Clawback(OfRequest):
    """What takes a payment's credit back with its money; see `billing/payments/clawbacks.py`."""

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    payment_id: Mapped[int] = mapped_column(ForeignKey("billing_payments.id"))
    amount_paise: Mapped[int]
    state: Mapped[str]
    position: Mapped[Literal["none", "reserved", "taken"]] = mapped_column(
        Text, server_default=text("'none'")
    )
    """Where the credit is: with its owner (none), held for us (reserved), taken."""
    credits: Mapped[int] = mapped_column(server_default=text("0"))
    """What is reserved or taken of the paid credit."""
    bonus_credits: Mapped[int] = mapped_column(server_default=text("0"))
    debt: Mapped[int] = mapped_column(server_default=text("0"))
    """How much of both was spent already when it was taken, and is owed."""
    hold_id: Mapped[int | None] = mapped_column(ForeignKey("holds.id"))
    """The hold that reserves the unspent credit."""
    takes: Mapped[int] = mapped_column(server_default=text("0"))
    """How often credit was taken; each time under other ledger keys."""
    settled_at: Mapped[datetime | None]
    """When the credit was brought in line with the state; None: it still has to be."""
    settlement_error: Mapped[str | None]
    """Why that last failed; None: it did not. It is tried again, and a person should look."""
    settlement_failed_at: Mapped[datetime | None]
    """When it first failed."""


class Refund(Clawback, Base):
    """Money on its way back to a payer; see `billing/returns/refunds.py`."""

    __tablename__ = "billing_refunds"
    __table_args__ = (
        UniqueConstraint("request_key"),
        UniqueConstraint("receipt"),
        UniqueConstraint("gateway", "gateway_refund_id"),
        CheckConstraint("amount_paise > 0", name="amount_paise"),
        CheckConstraint(
            "state IN ('requested', 'submitted', 'unknown', 'processed', 'failed')", name="state"
        ),
        CheckConstraint("credits >= 0 AND bonus_credits >= 0 AND debt >= 0", name="credits"),
        CheckConstraint("position IN ('none', 'reserved', 'taken')", name="position"),
        Index(None, "payment_id"),
        Index("ix_billing_refunds_due", "next_ask_at",
              postgresql_where=text("next_ask_at IS NOT NULL")),
        Index("ix_billing_refunds_unsettled", "id", postgresql_where=text("settled_at IS NULL")),
    )  # fmt: skip

    gateway: Mapped[str]
    gateway_refund_id: Mapped[str | None]
    request_key: Mapped[str | None]
    """Of the request; None: the refund was not requested here."""
    receipt: Mapped[str | None]
    """Ours, repeated by the gateway: it finds the refund again after a lost answer."""
    reason: Mapped[str]
    requested_by: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    next_ask_at: Mapped[datetime | None]
    asks: Mapped[int] = mapped_column(server_default=text("0"))
    last_error: Mapped[str | None]


class Chargeback(Clawback, Base):
    """A payer's bank wants money back; see `billing/returns/chargebacks.py`."""

    __tablename__ = "billing_chargebacks"
    __table_args__ = (
        UniqueConstraint("gateway", "gateway_dispute_id"),
        CheckConstraint("amount_paise >= 0", name="amount_paise"),
        CheckConstraint(
            "state IN ('open', 'under_review', 'action_required', 'won', 'lost', 'closed')",
            name="state",
        ),
        CheckConstraint("credits >= 0 AND bonus_credits >= 0 AND debt >= 0", name="credits"),
        CheckConstraint("position IN ('none', 'reserved', 'taken')", name="position"),
        Index(None, "payment_id"),
        Index("ix_billing_chargebacks_open", "respond_by",
              postgresql_where=text("state IN ('open', 'under_review', 'action_required')")),
        Index("ix_billing_chargebacks_unsettled", "id",
              postgresql_where=text("settled_at IS NULL")),
    )  # fmt: skip

    gateway: Mapped[str]
    gateway_dispute_id: Mapped[str]
    phase: Mapped[str | None]
    reason_code: Mapped[str | None]
    moves_money: Mapped[bool]
    """False: an inquiry, which holds no credit."""
    respond_by: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

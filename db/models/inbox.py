"""The inbox table."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, OfRequest


class InboundEvent(OfRequest, Base):
    """One delivery that a sender made.

    Written by `db/deliveries.py`, `db/inbox.py` and `db/inbox_operations.py` alone.
    """

    __tablename__ = "inbound_events"
    __table_args__ = (
        UniqueConstraint("source", "event_id", "body_sha256"),
        CheckConstraint("state IN ('pending', 'done', 'dead', 'ignored')", name="state"),
        Index(
            "ix_inbound_events_due",
            "source",
            "next_attempt_at",
            "id",
            postgresql_where=text("state = 'pending'"),
        ),
        Index("ix_inbound_events_dead", "id", postgresql_where=text("state = 'dead'")),
        Index(
            "ix_inbound_events_lead_id",
            "lead_id",
            "id",
            postgresql_where=text("lead_id IS NOT NULL"),
        ),
        Index(
            "ix_inbound_events_account_ref",
            "account_ref",
            "id",
            # A lead that is done is found by the account's leads: a batch is spared an entry a row.
            postgresql_where=text(
                "account_ref IS NOT NULL AND (state <> 'done' OR lead_id IS NULL)"
            ),
        ),
        Index(None, "request_id", postgresql_where=text("request_id IS NOT NULL")),
        # Half a page stays free, so that a lease updates its rows in place, without index entries.
        {"postgresql_with": {"fillfactor": 50}},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    source: Mapped[str]
    event_id: Mapped[str]
    body_sha256: Mapped[bytes]
    body: Mapped[bytes]
    type: Mapped[str | None]
    received_at: Mapped[datetime]
    state: Mapped[str]
    outcome: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime]
    lease_id: Mapped[UUID | None]
    lease_size: Mapped[int | None]
    leased_until: Mapped[datetime | None]
    last_error: Mapped[str | None]
    handled_at: Mapped[datetime | None]
    lead_id: Mapped[str | None]
    """The lead that it is about, as its handler read it, also of a lead that it refused."""
    account_ref: Mapped[str | None]
    """The account that it names, whether there is one of this name or not; or of a refund's
    payment."""
    blanked_at: Mapped[datetime | None]
    """When its body was blanked; see `billing/privacy/`. What identifies it stays."""

"""Notices on their way out: who is sent what, and what became of it.

Written by `billing/notices/` alone. The notices themselves are rows of `outbox_events`.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import BigInteger, Text

from db.models.base import Base


class NoticePosition(Base):
    """The last position that was given away: one row, which is also the lock under which it is."""

    __tablename__ = "notice_positions"
    __table_args__ = (
        CheckConstraint("singleton", name="singleton"),
        {"postgresql_with": {"fillfactor": 10}},
    )

    singleton: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    last: Mapped[int] = mapped_column(server_default=text("0"))


class NoticeSequence(Base):
    """How many notices of an account were given a position."""

    __tablename__ = "notice_sequences"
    __table_args__ = ({"postgresql_with": {"fillfactor": 50}},)

    account_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last: Mapped[int]


class NoticeEndpoint(Base):
    """An address of a platform that is sent notices."""

    __tablename__ = "notice_endpoints"
    __table_args__ = (
        CheckConstraint("state IN ('on', 'failing', 'off', 'removed')", name="state"),
        {"postgresql_with": {"fillfactor": 50}},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    product: Mapped[str | None]
    """Whose notices it gets; None: of every product (a listener of the development stack)."""
    account_id: Mapped[int | None]
    """It gets the notices of this account only."""
    url: Mapped[str]
    description: Mapped[str]
    topics: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """Patterns; see `billing/topics`."""
    ordered: Mapped[bool]
    """The next notice of an account is sent only after the one before it is done or dead."""
    state: Mapped[str]
    state_reason: Mapped[str | None]
    first_failure_at: Mapped[datetime | None]
    """Of the failures since the last success."""
    consecutive_failures: Mapped[int] = mapped_column(server_default=text("0"))
    last_success_at: Mapped[datetime | None]
    pause_seconds: Mapped[int] = mapped_column(server_default=text("0"))
    """How long the last failure had it left alone; the next one doubles it, a success halves it."""
    paused_until: Mapped[datetime | None]
    """Nothing is sent before."""
    lease_until: Mapped[datetime | None]
    """Of a listener, in real time: after this it is as if it was removed. Its process lives in real
    time, and is to hear what comes while the development clock moves."""
    created_at: Mapped[datetime]
    created_by: Mapped[str]


class NoticeEndpointSecret(Base):
    """A secret that signs what an endpoint is sent."""

    __tablename__ = "notice_endpoint_secrets"
    __table_args__ = (Index(None, "endpoint_id"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("notice_endpoints.id"))
    secret_encrypted: Mapped[bytes]
    """By a key derived from WEB_SECRETS; empty once it has expired and was forgotten."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    """Set by a rotation: until then both sign."""


class NoticeLane(Base):
    """One of the two calls that may be under way to an endpoint, and what is in its hands.

    The lease of a delivery stands here instead of in its row: to take and to finish fifty of them
    changes one row.
    """

    __tablename__ = "notice_lanes"
    __table_args__ = ({"postgresql_with": {"fillfactor": 20}},)

    endpoint_id: Mapped[int] = mapped_column(ForeignKey("notice_endpoints.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    lease_id: Mapped[UUID | None]
    """None: free."""
    leased_until: Mapped[datetime | None]
    delivery_ids: Mapped[list[int]] = mapped_column(
        ARRAY(BigInteger), server_default=text("'{}'::bigint[]")
    )


class NoticeDelivery(Base):
    """One notice for one endpoint.

    No foreign keys: endpoints and notices are never deleted, and a key costs each row two look-ups.
    """

    __tablename__ = "notice_deliveries"
    __table_args__ = (
        UniqueConstraint("notice_id", "endpoint_id"),
        CheckConstraint("state IN ('pending', 'done', 'dead', 'skipped')", name="state"),
        Index(
            "ix_notice_deliveries_due",
            "endpoint_id",
            "next_attempt_at",
            "position",
            postgresql_where=text("state = 'pending' AND next_attempt_at IS NOT NULL"),
        ),
        Index(
            "ix_notice_deliveries_line",
            "endpoint_id",
            "line_account_id",
            "position",
            postgresql_where=text("state = 'pending' AND line_account_id IS NOT NULL"),
        ),
        Index(
            "ix_notice_deliveries_missed",
            "endpoint_id",
            "position",
            postgresql_where=text("state IN ('dead', 'skipped')"),
        ),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    notice_id: Mapped[int]
    endpoint_id: Mapped[int]
    position: Mapped[int]
    """Of the notice."""
    line_account_id: Mapped[int | None]
    """The account in whose order it waits; None unless its endpoint is `ordered`."""
    state: Mapped[str]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    """All of them; they are numbered 1, 2, 3 ..."""
    tries: Mapped[int] = mapped_column(server_default=text("0"))
    """Those since it was written or replayed: how far it is on the ladder."""
    next_attempt_at: Mapped[datetime | None]
    """None: it is finished, or waits in line behind a notice of its account."""
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]
    """In our words; of a skipped one why it was skipped."""
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class NoticeAttempt(Base):
    """One call, and what came of it."""

    __tablename__ = "notice_attempts"

    delivery_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    started_at: Mapped[datetime]
    duration_ms: Mapped[int]
    status: Mapped[int | None]
    error: Mapped[str | None]
    """In our words."""
    response_head: Mapped[bytes]
    """The first bytes of the answer, up to 1 KiB: a stranger's, for operators alone."""

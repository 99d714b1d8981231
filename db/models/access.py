"""API keys, and the requests made under an Idempotency-Key."""

from datetime import datetime

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, OfRequest


class ApiKey(Base):
    """An API key, stored as its hash, for one product or one account."""

    __tablename__ = "api_keys"
    __table_args__ = (
        UniqueConstraint("name"),
        UniqueConstraint("key_sha256"),
        CheckConstraint("(product IS NULL) <> (account_id IS NULL)", name="reach"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str]
    key_sha256: Mapped[bytes]
    product: Mapped[str | None]
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class ApiRequest(OfRequest, Base):
    """A POST under its Idempotency-Key, and its answer once there is one."""

    __tablename__ = "api_requests"
    __table_args__ = (
        CheckConstraint("(status IS NULL) = (answer IS NULL)", name="answer"),
        Index(None, "created_at"),
        Index(None, "request_id", postgresql_where=text("request_id IS NOT NULL")),
    )

    caller: Mapped[str] = mapped_column(primary_key=True)
    """The identity of the API key: `#` and its id, or its name in API_KEYS. Idempotency keys of
    different callers are separate."""
    idempotency_key: Mapped[str] = mapped_column(primary_key=True)
    request: Mapped[str]
    """Method and path."""
    request_hash: Mapped[bytes]
    reach: Mapped[str | None]
    """What the API key could see: `product:...`, `account:ID`, NULL: all."""
    operation_key: Mapped[str | None]
    """What the effects of an unfinished request are called, if that does not follow from caller and
    key: those of created keys before migration 0009."""
    claimed_until: Mapped[datetime | None]
    """When the lease ends; a process that died leaves it behind."""
    status: Mapped[int | None]
    answer: Mapped[str | None]
    """The JSON of the answer, as sent."""
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    folded_at: Mapped[datetime | None]
    """When its answer was dropped; see `billing/privacy/`. A repeat is still recognised."""

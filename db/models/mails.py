"""Mail: the contacts of accounts and operators, and the mails that are due to them.

Written by `billing/notices/` only.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Identity, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, OfRequest


class NoticeContact(OfRequest, Base):
    """An address that is mailed about an account, or about what operators must know."""

    __tablename__ = "notice_contacts"
    __table_args__ = (
        CheckConstraint("(removed_at IS NULL) OR (address IS NULL)", name="removed"),
        # One of an account: accounts of one person may share an address.
        Index(
            "uq_notice_contacts_address",
            text("coalesce(account_id, 0)"),
            text("lower(address)"),
            unique=True,
            postgresql_where=text("address IS NOT NULL"),
        ),
        Index("ix_notice_contacts_account", "account_id", "id"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))
    """None: a contact of the operators."""
    address: Mapped[str | None]
    """None once it was removed or erased."""
    topics: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """Patterns of the topics it wants mail about: `balance.*`, `payment.captured`, `*`."""
    unsubscribed: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    """Kinds of mail that its reader has stopped; `all`: every one."""
    confirmed_at: Mapped[datetime | None]
    """None: nobody has shown yet that the address is the account's."""
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]


class NoticeMail(OfRequest, Base):
    """A mail to a contact: due, sent, skipped, or given up."""

    __tablename__ = "notice_mails"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'done', 'dead', 'skipped')", name="state"),
        CheckConstraint("(state = 'pending') = (next_attempt_at IS NOT NULL)", name="due"),
        CheckConstraint("(state = 'pending') = (finished_at IS NULL)", name="finished"),
        # What was skipped was not sent: it takes nobody's place.
        Index(
            "uq_notice_mails_once",
            "contact_id",
            "kind",
            "once_for",
            unique=True,
            postgresql_where=text("state <> 'skipped'"),
        ),
        Index(
            "ix_notice_mails_due",
            "next_attempt_at",
            "id",
            postgresql_where=text("state = 'pending'"),
        ),
        Index("ix_notice_mails_dead", "finished_at", postgresql_where=text("state = 'dead'")),
        # How often was one address asked to confirm?
        Index(
            "ix_notice_mails_asked",
            "once_for",
            postgresql_where=text("kind = 'confirm_address'"),
        ),
        {"postgresql_with": {"fillfactor": 80}},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    contact_id: Mapped[int] = mapped_column(ForeignKey("notice_contacts.id"))
    kind: Mapped[str]
    """Of `billing/notices/mail_facts.py::MailKind`."""
    notice_id: Mapped[int | None]
    """The row of the outbox that it reports, or the first of them; without a foreign key, which
    would lock that row. None: no notice asked for it."""
    once_for: Mapped[str]
    """What it is sent once for, of a contact and kind: a local day, a payment, a refund; of a
    mail that asks to confirm: what stands for the address (`billing/notices/questions.py`)."""
    state: Mapped[str]
    reason: Mapped[str | None]
    """Why it was skipped, or how the last attempt failed: our words."""
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime | None]
    lease_id: Mapped[UUID | None]
    leased_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

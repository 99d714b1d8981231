"""Accounts: a customer's prepaid credit, as of its newest ledger row."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, OfRequest


class Account(OfRequest, Base):
    """A customer's prepaid credit, as of its newest ledger row."""

    __tablename__ = "accounts"
    __table_args__ = (
        UniqueConstraint("ref"),
        Index(
            "ix_accounts_reviewed",
            "ref",
            postgresql_where=text("review_reason IS NOT NULL"),
        ),
        CheckConstraint("held >= 0", name="held"),
        CheckConstraint("overdraft_limit >= 0", name="overdraft_limit"),
        CheckConstraint("low_balance >= 0", name="low_balance"),
        CheckConstraint("alert_level IN ('ok', 'low', 'exhausted', 'in_debt')", name="alert_level"),
        {"postgresql_with": {"fillfactor": 70}},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    ref: Mapped[str]
    product: Mapped[str]
    name: Mapped[str]
    timezone: Mapped[str]
    overdraft_limit: Mapped[int] = mapped_column(server_default=text("0"))
    balance: Mapped[int] = mapped_column(server_default=text("0"))
    held: Mapped[int] = mapped_column(server_default=text("0"))
    version: Mapped[int] = mapped_column(server_default=text("0"))
    head_hash: Mapped[bytes]
    created_at: Mapped[datetime]
    alert_level: Mapped[str] = mapped_column(server_default=text("'exhausted'"))
    """The level of the balance after the newest row; see `billing/ledger/alert_levels.py`."""
    low_balance: Mapped[int | None]
    """The balance is low at this many credits or fewer; None: the catalog decides."""
    review_reason: Mapped[str | None]
    """Why a person should review the account; see `billing/accounts/review.py`."""
    state_code: Mapped[str | None]
    """GST state of the customer, two digits; it decides how tax is split."""
    gstin: Mapped[str | None]

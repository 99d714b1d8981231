"""Accounts: a customer's prepaid credit, as of its newest ledger row."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Identity, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class Account(Base):
    """A customer's prepaid credit, as of its newest ledger row."""

    __tablename__ = "accounts"
    __table_args__ = (
        UniqueConstraint("ref"),
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
    """What the balance was last reported as; see `billing/ledger/alert_levels.py`."""
    low_balance: Mapped[int | None]
    """Up to so many credits the balance is low; None: as many as the catalog says."""
    review_reason: Mapped[str | None]
    """Why a person should look at the account: `disputes_most_leads`, `chargeback`."""
    state_code: Mapped[str | None]
    """GST state of the customer, two digits; decides how tax is split."""
    gstin: Mapped[str | None]

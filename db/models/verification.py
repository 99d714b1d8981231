"""The scheduled verifications of the ledger."""

from datetime import datetime

from sqlalchemy import Identity
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class LedgerCheck(Base):
    """One scheduled verification of the ledger; unfinished if its process died."""

    __tablename__ = "ledger_checks"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    accounts: Mapped[int | None]
    transactions: Mapped[int | None]
    breaches: Mapped[int | None]

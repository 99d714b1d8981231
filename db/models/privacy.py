"""How far retention has come; written by the functions of migration 0010 alone."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class RetentionProgress(Base):
    """How far the walk along one table has come: by its ids, or by the times of its rows."""

    __tablename__ = "retention_progress"

    name: Mapped[str] = mapped_column(primary_key=True)
    """The table."""
    reached_id: Mapped[int | None]
    reached_at: Mapped[datetime | None]


class RetentionLeftover(Base):
    """A row of the inbox that was not finished when the walk came by; it is looked at again."""

    __tablename__ = "retention_leftovers"

    event_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)

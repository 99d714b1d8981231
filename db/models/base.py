"""The base of all tables: one naming scheme, 64-bit integers, text, times with a zone.

`OfRequest` is what rows have in common that a request writes.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, LargeBinary, MetaData, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from service import request_ids

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base class of the tables."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own declaration
        int: BigInteger,
        str: Text,
        bytes: LargeBinary,
        datetime: DateTime(timezone=True),
    }


class OfRequest:
    """A row that names the request that wrote it.

    SQLAlchemy fills the column in; whoever writes SQL or COPY names it. A row that the work on
    another row writes has the id of that one. None: no request asked for it (the command, beat, a
    Celery call), or it is older than the column. Nothing is decided by it, and no constraint or
    hash covers it.
    """

    request_id: Mapped[str | None] = mapped_column(default=request_ids.current, sort_order=1000)

    def __init__(self, **values: Any) -> None:
        """Take the id now: the row may be written when the next request of a batch is at work."""
        super().__init__(**{"request_id": request_ids.current(), **values})

"""Many rows in one statement: COPY to insert, array parameters to update and to look up.

COPY writes a batch of ledger rows in about a third of the time of a multi-row INSERT
(docs/decisions/0004-copy-for-ledger-rows.md); with arrays the server does not parse a statement
as long as the batch.
"""

import io
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy.orm import Session

FEW = 4
"""Up to this many rows are inserted without COPY."""


def copy_rows(
    session: Session, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Insert `rows` (values in the order of `columns`) into `table` within the transaction.

    Values: None, bool, int, str, bytes, aware datetime. Raises psycopg2's errors, such as
    `UniqueViolation`; then none of the rows is written. Up to `FEW` rows are written by INSERT,
    which takes one round trip instead of two.
    """
    rows = list(rows)
    if not rows:
        return
    if len(rows) <= FEW:
        _insert_rows(session, table, columns, rows)
        return
    text = "".join(["\t".join([_ENCODERS[type(v)](v) for v in row]) + "\n" for row in rows])
    cursor = session.connection().connection.cursor()
    try:
        cursor.copy_expert(f"COPY {table} ({', '.join(columns)}) FROM STDIN", io.StringIO(text))
    finally:
        cursor.close()


def _insert_rows(
    session: Session, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    places = f"({', '.join(['%s'] * len(columns))})"
    cursor = session.connection().connection.cursor()
    try:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([places] * len(rows))}",
            [value for row in rows for value in row],
        )
    finally:
        cursor.close()


def int_array(values: Iterable[int | None]) -> str:
    """Return the PostgreSQL literal of an integer array, for `CAST(:name AS bigint[])`."""
    return "{" + ",".join(["NULL" if v is None else str(v) for v in values]) + "}"


def text_array(values: Iterable[str | None]) -> str:
    """Return the PostgreSQL literal of a text array, for `CAST(:name AS text[])`."""
    return "{" + ",".join(["NULL" if v is None else _quoted(v) for v in values]) + "}"


def bytes_array(values: Iterable[bytes]) -> str:
    """Return the PostgreSQL literal of a bytea array, for `CAST(:name AS bytea[])`."""
    return "{" + ",".join([f'"\\\\x{v.hex()}"' for v in values]) + "}"


def time_array(values: Iterable[datetime | None]) -> str:
    """Return the literal of an array of aware times, for `CAST(:name AS timestamptz[])`."""
    return "{" + ",".join(["NULL" if v is None else f'"{_iso(v)}"' for v in values]) + "}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _copy_text(value: str) -> str:
    # The escapes of COPY's text format: PostgreSQL documentation, COPY, "Text Format".
    if not _SPECIAL.search(value):
        return value
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], value)


_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_SPECIAL = re.compile(r"[\\\t\n\r]")


@lru_cache(maxsize=1024)  # the rows of a batch share their times
def _iso(value: datetime) -> str:
    # PostgreSQL reads no UTC offset of 16 hours or more, and no fraction of a second in one.
    return value.astimezone(UTC).isoformat()


_ENCODERS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "\\N",
    bool: lambda value: "t" if value else "f",
    int: str,
    str: _copy_text,
    bytes: lambda value: "\\\\x" + value.hex(),
    datetime: _iso,
}

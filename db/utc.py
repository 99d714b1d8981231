"""Times reach PostgreSQL in UTC, whatever offset they were given with; imported by the connections.

PostgreSQL reads no offset of 16 hours or more and no fraction of a second in one; Python knows
both. The doors convert what they are given (`billing/instants.py`); this holds for every statement.
"""

from datetime import UTC, datetime
from typing import Any

from psycopg2 import extensions


def install() -> None:
    """Have the driver write each aware time in UTC, in every connection of this process."""
    extensions.register_adapter(datetime, _in_utc)


def _in_utc(moment: datetime) -> Any:
    return extensions.TimestampFromPy(moment if moment.tzinfo is None else moment.astimezone(UTC))

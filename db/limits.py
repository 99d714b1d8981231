"""What every session of ours is set to: time limits, and settings that the meaning of SQL needs.

They come with each connection, in the startup parameter `options`, after those of the address
(a `search_path`, a provider's endpoint), which stay. A pooler may drop that parameter without a
word, so `billing migrate` also sets them on each role (`db/role_limits.py`), and the first
connection of each process is compared with them (`db/connections.py`).
"""

import os
from typing import Any

from sqlalchemy import URL

from db.errors import LimitsNotInForce

STATEMENT_TIMEOUT_MS = 15_000
"""Longest single statement of a worker or a request."""
LOCK_TIMEOUT_MS = 5_000
"""Longest wait for another transaction's row lock; then the work is tried again later."""
IDLE_IN_TRANSACTION_TIMEOUT_MS = 60_000
"""A process that hangs inside a transaction loses it, and its locks, after this."""
RANDOM_PAGE_COST = 1.1
"""The planner's cost of a row read by its key, against 1 for the next row in order: the data is in
memory or on an SSD. At PostgreSQL's default of 4 a batch of a thousand scans the whole table of
20,000 to 100,000 accounts, which made a grant a fifth slower."""

LIMITS = {
    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
    "lock_timeout": str(LOCK_TIMEOUT_MS),
    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
    "random_page_cost": str(RANDOM_PAGE_COST),
    "TimeZone": "UTC",
    # Off, a backslash in a text means something else, and so do the proofs of the books.
    "standard_conforming_strings": "on",
    # Every rule about locks is written for it.
    "default_transaction_isolation": "read committed",
}
"""Name -> value, as `pg_settings` shows both (times in milliseconds)."""

LIMITS_OF_MIGRATIONS = LIMITS | {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
"""A migration may take as long as it takes."""


def options(url: URL) -> str:
    """Return the startup options of a connection to `url`: its own, or PGOPTIONS, and then ours."""
    given = url.query.get("options") or os.environ.get("PGOPTIONS", "")
    own = [given] if isinstance(given, str) else list(given)
    ours = (f"-c {name}={_escaped(value)}" for name, value in LIMITS.items())
    return " ".join(part for part in (*own, *ours) if part)


def _escaped(value: str) -> str:
    return value.replace(" ", "\\ ")  # a space ends an option


def require(connection: Any) -> None:
    """Raise `LimitsNotInForce` if a new connection of the driver is not set to `LIMITS`."""
    with connection.cursor() as cursor:
        cursor.execute(_IN_FORCE, (list(LIMITS),))
        found = dict(cursor.fetchall())
        cursor.execute("SELECT current_user")
        (role,) = cursor.fetchone()
    connection.rollback()
    wrong = {
        name: (found.get(name, "not known"), value)
        for name, value in LIMITS.items()
        if found.get(name) != value
    }
    if wrong:
        raise LimitsNotInForce(role, wrong)


_IN_FORCE = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)"

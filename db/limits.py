"""What every session of ours is set to: time limits, and settings that the meaning of SQL needs.

They come with each connection, in the startup parameter `options`, after those of the address
(a `search_path`, a provider's endpoint), which stay. A pooler may drop that parameter without a
word, so `billing migrate` also sets them on each role (`db/role_sessions.py`), and the first
connection of each process is compared with them (`db/connections.py`).
"""

import os
import re
from typing import Any

from sqlalchemy import URL

from db.errors import LimitsNotInForce, SearchPathDropped

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
    ours = (f"-c {name}={_escaped(value)}" for name, value in LIMITS.items())
    return " ".join(part for part in (_own_options(url), *ours) if part)


def schemas(search_path: str) -> list[str]:
    """Return the schemas that a search path names, as the catalog has them."""
    return [
        quoted.replace('""', '"') if quoted else plain.lower()
        for quoted, plain in re.findall(r'"((?:[^"]|"")*)"|([^,\s"]+)', search_path)
    ]


def require_search_path(url: URL, found: str) -> None:
    """Raise `SearchPathDropped` if `url` asks for another search path than was found in force.

    Without its own, the next work would be done in a schema that may be another tenant's.
    """
    asked = _SEARCH_PATH.findall(_own_options(url))
    if not asked:
        return
    last = re.sub(r"\\(.)", r"\1", asked[-1])
    if schemas(last) != schemas(found):
        raise SearchPathDropped(last, found)


_SEARCH_PATH = re.compile(r"(?:-c\s*|--)search_path=((?:\\.|[^\s\\])+)")


def _own_options(url: URL) -> str:
    given = url.query.get("options") or os.environ.get("PGOPTIONS", "")
    return given if isinstance(given, str) else " ".join(given)


def _escaped(value: str) -> str:
    return value.replace(" ", "\\ ")  # a space ends an option


def require(connection: Any, url: URL) -> None:
    """Raise what a new connection of the driver to `url` lacks of what it asked for.

    Raises `LimitsNotInForce` for one of `LIMITS`, `SearchPathDropped`.
    """
    with connection.cursor() as cursor:
        cursor.execute(_IN_FORCE, (list(LIMITS),))
        found = dict(cursor.fetchall())
        cursor.execute("SELECT current_user, current_setting('search_path')")
        role, search_path = cursor.fetchone()
    connection.rollback()
    require_search_path(url, search_path)
    wrong = {
        name: (found.get(name, "not known"), value)
        for name, value in LIMITS.items()
        if found.get(name) != value
    }
    if wrong:
        raise LimitsNotInForce(role, wrong)


_IN_FORCE = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)"

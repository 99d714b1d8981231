"""The schema of the database beside the one that this code needs: the only place that compares.

`db/process_start.py` asks before a process starts, `/readyz` while it runs, the `billing` command
at its first connection. A process that runs while `billing migrate` is at work goes on: it is
judged by `serves`, and only one that starts is judged by `problem`.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from db.errors import SchemaMismatch

SCRIPTS = Path(__file__).parent / "migrations"


class SchemaState(StrEnum):
    """How the schema that was found relates to the code's."""

    CURRENT = "current"
    NOT_MIGRATED = "not migrated"
    OLDER = "older"
    NEWER = "newer"


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """The revision that was found in the database, and the one that the code needs."""

    found: str | None
    """None: the tables are not there."""
    needed: str
    state: SchemaState

    @property
    def serves(self) -> bool:
        """Whether a running process can do its work: a migration keeps older versions alive."""
        return self.state in (SchemaState.CURRENT, SchemaState.NEWER)

    @property
    def problem(self) -> str | None:
        """One line on what is wrong and what to do; None if the schema is the code's."""
        match self.state:
            case SchemaState.CURRENT:
                return None
            case SchemaState.NOT_MIGRATED:
                return "the database is not migrated: run `billing migrate`"
            case SchemaState.OLDER:
                return (
                    f"the database is at revision {self.found}, older than this version, which"
                    f" needs {self.needed}: run `billing migrate`"
                )
            case SchemaState.NEWER:
                return (
                    f"the database is at revision {self.found}, newer than this version, which"
                    f" knows {self.needed} as the newest: start the version that migrated it"
                )


def read(connection: Connection | Session) -> SchemaVersion:
    """Return what the database of `connection` holds, in the schema that it works in."""
    # Not through the search path: a table of another tenant's schema may stand behind ours.
    if not connection.execute(_HAS_REVISION).scalar():
        return compare(None)
    return compare(connection.execute(_REVISION).scalar())


def compare(found: str | None) -> SchemaVersion:
    """Return the version for a revision that was found in a database."""
    needed, known = _revisions()
    if found is None:
        state = SchemaState.NOT_MIGRATED
    elif found == needed:
        state = SchemaState.CURRENT
    else:
        # Revisions are never taken out of the code: what it does not know came later.
        state = SchemaState.OLDER if found in known else SchemaState.NEWER
    return SchemaVersion(found, needed, state)


def require(connection: Connection | Session) -> None:
    """Raise `SchemaMismatch` unless the schema is the one that this code needs."""
    _raise_problem(read(connection))


def require_on(connection: Any) -> None:
    """Do the same on a new connection of the driver (`connections.at_first_connection`)."""
    with connection.cursor() as cursor:
        cursor.execute(_HAS_REVISION.text)
        (has_revision,) = cursor.fetchone()
        if has_revision:
            cursor.execute(_REVISION.text)
        found = cursor.fetchone() if has_revision else None
    connection.rollback()
    _raise_problem(compare(found and found[0]))


def _raise_problem(version: SchemaVersion) -> None:
    if version.problem:
        raise SchemaMismatch(version.problem)


@lru_cache(maxsize=1)
def _revisions() -> tuple[str, frozenset[str]]:
    """Return the newest revision of this code, and all that it knows."""
    scripts = ScriptDirectory(str(SCRIPTS))
    known = frozenset(script.revision for script in scripts.walk_revisions())
    (newest,) = scripts.get_heads()
    return newest, known


_HAS_REVISION = text("""
SELECT to_regclass(quote_ident(current_schema()) || '.alembic_version') IS NOT NULL
""")
_REVISION = text("SELECT version_num FROM alembic_version")

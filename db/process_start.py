"""Whether the database is what a process needs, asked once before it starts.

For receiver, API, worker and beat. A running process is not asked again: it outlives a migration
(`db/schema_version.py`), and waits for a server that is away.
"""

from sqlalchemy import make_url

from db import connections, roles, schema_version
from db.driver_errors import translated
from db.errors import DatabaseBusy, DatabaseUnavailable
from db.roles import Role


def check_database(role: Role) -> None:
    """Raise what a start as `role` would fail of; a server that does not answer is waited for.

    Raises `SchemaMismatch`, `LimitsNotInForce`, `SearchPathDropped`, `PoolerRefuses` or
    `RightMissing`, each with one line that says what to do.
    """
    engine = connections.make_engine(make_url(roles.url_of(role)), pool_size=1)
    try:
        with translated(), engine.connect() as connection:
            schema_version.require(connection)
    except (DatabaseUnavailable, DatabaseBusy):
        return
    finally:
        engine.dispose()

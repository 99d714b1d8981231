"""The transaction boundary: `transaction()` is the only commit in the system.

Opened by tasks, routes and the CLI, never by a rule. The connections are those of
`db/connections.py`; the driver's errors come out as ours (`db/driver_errors.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, make_url, text
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.orm import Session

from db import after_commit, connections
from db.driver_errors import translated
from db.roles import Role

_SETTINGS_OF_LONG_READS = (
    "statement_timeout = 0",
    # The transaction that exported a snapshot is idle until its readers are done.
    "idle_in_transaction_session_timeout = 0",
    # A reader that was stopped leaves no query running.
    "client_connection_check_interval = 2000",
)


@contextmanager
def transaction(role: Role | None = None) -> Iterator[Session]:
    """Run the block in one READ COMMITTED transaction; commit at its end, else roll back.

    As the role of this process, or as another one (`db/roles.py`) on a connection of its own.
    Log lines and the nudge that wait for the commit (`db/after_commit.py`) follow it.
    Raises `DatabaseUnavailable` or `DatabaseBusy` instead of the driver's errors that may pass.
    """
    engine = connections.engine() if role is None else connections.engine_of(role)
    with translated(), Session(engine, expire_on_commit=False) as session, session.begin():
        yield session
    after_commit.run(session)


@contextmanager
def one_statement() -> Iterator[Any]:
    """Yield a cursor for exactly one statement, which is a transaction of its own.

    For work that is done for every message: one round trip on a connection that the process keeps,
    instead of the four of `transaction()` (ping, begin, the statement, commit). Raises the same
    errors; after `DatabaseUnavailable` the next call opens a new connection.
    """
    with translated(), connections.autocommit_connection().cursor() as cursor:
        yield cursor


@contextmanager
def pooled_statement() -> Iterator[DBAPICursor]:
    """Yield a cursor for one statement, like `one_statement`, on a connection of the pool.

    For a process whose threads have a connection each: none waits for another's commit, and a
    connection that was lost is replaced before it is used. Raises the same errors.
    """
    with translated():
        pooled = connections.engine().raw_connection()
        try:
            connection: Any = pooled.driver_connection
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor
            connection.autocommit = False
        except BaseException:
            pooled.invalidate()
            raise
        finally:
            pooled.close()


@contextmanager
def snapshot(*, within_limits: bool = False) -> Iterator[Session]:
    """Run the block on one consistent, read-only view of the database (REPEATABLE READ).

    For reports and proofs, which may take longer than a worker's statement; `within_limits`: for
    readers whom somebody waits for, who keep the limits of every session.
    """
    with translated(), _read_only(connections.engine(), long=not within_limits) as session:
        yield session


@dataclass(frozen=True)
class SharedSnapshot:
    """A snapshot that other processes can read; valid while its block lasts."""

    database_url: str = field(repr=False)
    snapshot_id: str


def share(session: Session) -> SharedSnapshot:
    """Export the view of a `snapshot()`, for `same_snapshot` in other processes."""
    snapshot_id = session.scalar(text("SELECT pg_export_snapshot()"))
    url = session.connection().engine.url.render_as_string(hide_password=False)
    return SharedSnapshot(url, str(snapshot_id))


@contextmanager
def same_snapshot(shared: SharedSnapshot) -> Iterator[Session]:
    """Run the block on the view that another process has exported."""
    own = connections.make_engine(make_url(shared.database_url), pool_size=1)
    try:
        with translated(), _read_only(own, shared.snapshot_id) as session:
            yield session
    finally:
        own.dispose()


@contextmanager
def _read_only(
    on: Engine, snapshot_id: str | None = None, *, long: bool = True
) -> Iterator[Session]:
    with on.connect() as plain:
        connection = plain.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        with Session(connection) as session, session.begin():
            if snapshot_id is not None:
                # Before the first query, which would take a snapshot of its own.
                connection.exec_driver_sql("SET TRANSACTION SNAPSHOT %s", (snapshot_id,))
            for setting in _SETTINGS_OF_LONG_READS if long else ():
                connection.exec_driver_sql(f"SET LOCAL {setting}")
            yield session

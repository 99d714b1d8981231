"""The transaction boundary: `transaction()` is the only commit in the system.

Opened by tasks, routes and the CLI, never by a rule. A process has one engine, made at first
use; a forked worker child throws its parent's away (`forget_connections`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import psycopg2
from psycopg2 import errorcodes
from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

import settings
from db.errors import DatabaseBusy, DatabaseUnavailable, RightMissing, SchemaMissing

STATEMENT_TIMEOUT_MS = 15_000
"""Longest single statement of a worker or a request."""
LOCK_TIMEOUT_MS = 5_000
"""Longest wait for another transaction's row lock; then the work is tried again later."""
IDLE_IN_TRANSACTION_TIMEOUT_MS = 60_000
"""A process that stopped with a transaction open loses it, and the locks in it, after this."""
RANDOM_PAGE_COST = 1.1
"""What a row by its key costs the planner, against 1 in a row of them: they are in memory, or on a
disk without a head. At PostgreSQL's own 4 a batch of a thousand reads the whole table of 20,000 to
100,000 accounts, which made a grant a fifth dearer."""

_SETTINGS_OF_LONG_READS = (
    "statement_timeout = 0",
    # Who has exported a snapshot waits for those that read it.
    "idle_in_transaction_session_timeout = 0",
    # A reader that was stopped leaves no query running behind it.
    "client_connection_check_interval = 2000",
)

_BUSY = {
    errorcodes.DEADLOCK_DETECTED,
    errorcodes.LOCK_NOT_AVAILABLE,
    errorcodes.QUERY_CANCELED,
    errorcodes.SERIALIZATION_FAILURE,
}


_connections = 2


def allow_connections(number: int) -> None:
    """Let this process have up to `number` connections; to be called before its first."""
    global _connections  # noqa: PLW0603 - one engine a process is the point of this module
    _connections = number


@lru_cache(maxsize=1)
def engine() -> Engine:
    """Return the engine of this process."""
    return make_engine(make_url(settings.get().database_url), pool_size=_connections)


def make_engine(url: URL, *, pool_size: int = 2) -> Engine:
    """Return an engine with the house's limits: small pool, time limits, UTC."""
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        pool_timeout=10,
        # Errors end up in logs and on inbox rows: without the values of the statement.
        hide_parameters=True,
        connect_args={
            "connect_timeout": 5,
            "application_name": "billing",
            # A server that vanished without a word is noticed within about half a minute.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "options": (
                f"-c statement_timeout={STATEMENT_TIMEOUT_MS}"
                f" -c lock_timeout={LOCK_TIMEOUT_MS}"
                f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_MS}"
                f" -c random_page_cost={RANDOM_PAGE_COST}"
                " -c timezone=UTC"
            ),
        },
    )


@contextmanager
def transaction() -> Iterator[Session]:
    """Run the block in one READ COMMITTED transaction; commit at its end, else roll back.

    Raises `DatabaseUnavailable` or `DatabaseBusy` in place of the driver's errors that may pass.
    """
    with translated(), Session(engine(), expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def one_statement() -> Iterator[Any]:
    """Yield a cursor for one statement, which is a transaction of its own: nothing else may be.

    For what is done for every single message: one round trip, on a connection that the process
    keeps, in place of the four of `transaction()` (is it alive, begin, the statement, commit).
    Raises the same errors; after `DatabaseUnavailable` the next call connects anew.
    """
    with translated():
        connection = _kept_connection()
        with connection.cursor() as cursor:
            yield cursor


@contextmanager
def pooled_statement() -> Iterator[DBAPICursor]:
    """Yield a cursor for one statement, as `one_statement` does, on a connection of the pool.

    For a process whose threads have a connection each: none waits behind another's commit, and a
    connection that was lost meanwhile is replaced before it is used. Raises the same errors.
    """
    with translated():
        pooled = engine().raw_connection()
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
def snapshot() -> Iterator[Session]:
    """Run the block on one consistent, read-only picture of the database (REPEATABLE READ).

    For reports and proofs, which may take longer than a worker's statement.
    """
    with translated(), _read_only(engine()) as session:
        yield session


@dataclass(frozen=True)
class SharedSnapshot:
    """A snapshot's picture for other processes; good while its block lasts."""

    database_url: str = field(repr=False)
    snapshot_id: str


def share(session: Session) -> SharedSnapshot:
    """Export the picture of a `snapshot()`, for `same_snapshot` in other processes."""
    snapshot_id = session.scalar(text("SELECT pg_export_snapshot()"))
    url = session.connection().engine.url.render_as_string(hide_password=False)
    return SharedSnapshot(url, str(snapshot_id))


@contextmanager
def same_snapshot(shared: SharedSnapshot) -> Iterator[Session]:
    """Run the block on the very picture that another process has exported."""
    own = make_engine(make_url(shared.database_url), pool_size=1)
    try:
        with translated(), _read_only(own, shared.snapshot_id) as session:
            yield session
    finally:
        own.dispose()


@contextmanager
def _read_only(on: Engine, snapshot_id: str | None = None) -> Iterator[Session]:
    with on.connect() as plain:
        connection = plain.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        with Session(connection) as session, session.begin():
            if snapshot_id is not None:
                # Before the first query: it would take a picture of its own.
                connection.exec_driver_sql("SET TRANSACTION SNAPSHOT %s", (snapshot_id,))
            for setting in _SETTINGS_OF_LONG_READS:
                connection.exec_driver_sql(f"SET LOCAL {setting}")
            yield session


def forget_connections() -> None:
    """Drop the pool without closing its sockets: they belong to the process that forked us."""
    engine().dispose(close=False)
    # Held on to, since it would be closed, for both of us, where it is collected.
    _kept.append(None)


_kept: list[tuple[Engine, Any] | None] = [None]


def _kept_connection() -> Any:
    last = _kept[-1]
    if last is not None and last[0] is engine() and not last[1].closed:
        return last[1]
    pooled = engine().raw_connection()
    connection = pooled.driver_connection
    pooled.detach()  # kept by us: the pool opens another for itself
    assert connection is not None  # noqa: S101 - it was opened right now
    connection.autocommit = True
    _kept[-1] = (engine(), connection)
    return connection


@contextmanager
def translated() -> Iterator[None]:
    """Raise our errors in place of the driver's, where there is something to do about them."""
    try:
        yield
    except PoolTimeout as error:
        raise DatabaseBusy("each connection of this process is in use") from error
    except (DBAPIError, psycopg2.Error) as error:
        driver_error = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(driver_error, "pgcode", None) or ""
        if code in _BUSY:
            raise DatabaseBusy(_first_line(driver_error)) from error
        # 08: connection exceptions. 57P: the server is stopping, was killed or is starting.
        # 53: it is out of connections, memory or disk. 25006: a standby that was not promoted.
        # No code at all: the socket broke.
        lost = code.startswith(("08", "57P", "53", "25006"))
        broken = isinstance(driver_error, psycopg2.OperationalError | psycopg2.InterfaceError)
        if lost or (broken and not code):
            raise DatabaseUnavailable(_first_line(driver_error)) from error
        if code in {errorcodes.UNDEFINED_TABLE, errorcodes.UNDEFINED_COLUMN}:
            raise SchemaMissing(_first_line(driver_error)) from error
        if code == errorcodes.INSUFFICIENT_PRIVILEGE:
            raise RightMissing(_first_line(driver_error)) from error
        raise


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().split("\n", 1)[0]

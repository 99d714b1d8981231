"""The connections of this process: one engine with a small pool, made at first use.

`db/session.py` opens transactions on them. A forked worker child calls `forget_connections`
before it makes its own.
"""

from functools import lru_cache
from typing import Any

from sqlalchemy import URL, Engine, NullPool, create_engine, make_url

import settings
from db import roles, utc
from db.roles import Role

utc.install()

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

_pool_size = 2


def allow_connections(number: int) -> None:
    """Let this process have up to `number` connections; to be called before its first."""
    global _pool_size  # noqa: PLW0603 - there is one pool a process
    _pool_size = number


@lru_cache(maxsize=1)
def engine() -> Engine:
    """Return the engine of this process."""
    return make_engine(make_url(settings.get().database_url), pool_size=_pool_size)


def engine_of(role: Role) -> Engine:
    """Return an engine that keeps no connection, for the few transactions of another role."""
    return create_engine(roles.url_of(role), poolclass=NullPool)


def make_engine(url: URL, *, pool_size: int = 2) -> Engine:
    """Return an engine with the limits of this system: small pool, time limits, UTC."""
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        pool_timeout=10,
        # Errors end up in logs and on inbox rows: keep the values of the statement out of them.
        hide_parameters=True,
        connect_args={
            "connect_timeout": 5,
            "application_name": "billing",
            # A server that vanished is noticed within about half a minute.
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


def autocommit_connection() -> Any:
    """Return the driver's connection that this process keeps for single statements.

    It is outside of the pool and open until the server or a fork ends it.
    """
    return _autocommit.get(engine())


def forget_connections() -> None:
    """Let go of all connections after a fork, without closing them: they are the parent's."""
    engine().dispose(close=False)
    _autocommit.leave_to_parent()


class _AutocommitConnection:
    """One connection in autocommit mode, opened when needed and kept."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._connection: Any = None
        self._of_parents: list[Any] = []

    def get(self, engine: Engine) -> Any:
        """Return the connection; open one if there is none, it is closed, or the engine is new."""
        if self._connection is None or self._engine is not engine or self._connection.closed:
            self._connection = self._opened(engine)
            self._engine = engine
        return self._connection

    def leave_to_parent(self) -> None:
        # Still referenced: a collected connection is closed, and this one is not ours to close. A
        # list, because the parent's parent may have left one too.
        self._of_parents.append(self._connection)
        self._connection = None

    @staticmethod
    def _opened(engine: Engine) -> Any:
        pooled = engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()  # the pool opens another for itself
        connection.autocommit = True
        return connection


_autocommit = _AutocommitConnection()

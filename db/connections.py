"""The connections of this process: one engine with a small pool, made at first use.

`db/session.py` opens transactions on them. A forked worker child calls `forget_connections`
before it makes its own. What every session is set to stands in `db/limits.py`.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url

from db import limits, roles, utc
from db.roles import Role

utc.install()

_pool_size = 2
_role = Role.WORKERS
_checks: list[Callable[[Any], None]] = []


def allow_connections(number: int) -> None:
    """Let this process have up to `number` connections; to be called before its first."""
    global _pool_size  # noqa: PLW0603 - there is one pool a process
    _pool_size = number


def work_as(role: Role) -> None:
    """Let this process be `role` to the database; to be called before its first connection."""
    global _role  # noqa: PLW0603 - a process is one role
    _role = role


def at_first_connection(check: Callable[[Any], None]) -> None:
    """Let `check` judge the first connection of this process (the driver's), and raise."""
    if check not in _checks:
        _checks.append(check)


@lru_cache(maxsize=1)
def engine() -> Engine:
    """Return the engine of this process."""
    return _checked(make_engine(make_url(roles.url_of(_role)), pool_size=_pool_size))


def make_engine(url: URL, *, pool_size: int = 2) -> Engine:
    """Return an engine with the limits of this system: small pool, time limits, UTC.

    Its first connection raises `LimitsNotInForce` if something between here and the server drops
    them, and `SearchPathDropped` if it drops that of the address.
    """
    made = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        pool_timeout=10,
        # Errors end up in logs and on inbox rows: keep the values of the statement out of them.
        hide_parameters=True,
        connect_args=_connect_arguments(url) | {"options": limits.options(url)},
    )
    _judge_first_connection(made, lambda connection: limits.require(connection, url))
    return made


def engine_of(role: Role) -> Engine:
    """Return an engine that keeps no connection, for the few transactions of another role."""
    return _checked(unpooled_engine(roles.url_of(role), limits.LIMITS))


def unpooled_engine(url: str, limits_of_each: Mapping[str, str]) -> Engine:
    """Return an engine that keeps no connection, and sets each transaction to these limits.

    No pooler can drop them, and no role needs them set.
    """
    made = create_engine(
        url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args=_connect_arguments(make_url(url)),
    )
    statement = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in limits_of_each.items())

    @event.listens_for(made, "begin")
    def _set_limits(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    return made


def _connect_arguments(url: URL) -> dict[str, Any]:
    """Return what each connection is given, unless the address itself says something else."""
    return {name: value for name, value in _CONNECT_ARGUMENTS.items() if name not in url.query}


_CONNECT_ARGUMENTS: dict[str, Any] = {
    "connect_timeout": 5,
    "application_name": "billing",
    # A server that vanished is noticed within about half a minute: while nothing is asked ...
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    # ... and while a statement was sent to it, where the system would try for 15 minutes.
    "tcp_user_timeout": 30_000,
}


def _checked(engine: Engine) -> Engine:
    for check in _checks:
        _judge_first_connection(engine, check)
    return engine


def _judge_first_connection(engine: Engine, check: Callable[[Any], None]) -> None:
    # Again at the next one if it raises; the pool then closes the connection.
    event.listen(engine, "first_connect", lambda connection, _record: check(connection))


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

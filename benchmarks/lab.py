"""Where it is measured: servers of our own on throw-away data, or those of the environment.

Also the folder for logs, and the environment of every process that a measurement starts.
"""

import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg2
from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

import settings
from db import connections, migrate, roles, session
from devstack import secret_files, servers
from devstack.errors import DevstackError


@dataclass(frozen=True)
class Lab:
    """Running, migrated servers; this process' settings point at them."""

    folder: Path
    environment: dict[str, str]
    """Of the processes that are measured."""

    @property
    def libpq_url(self) -> str:
        """The database for programs that do not know SQLAlchemy's URLs."""
        return settings.get().database_url.replace("postgresql+psycopg2://", "postgresql://", 1)


@contextmanager
def opened(*, use_configured: bool) -> Iterator[Lab]:
    """Start and migrate the servers for the block; stop and remove them after it.

    Raises `DevstackError` if the environment names servers and `use_configured` is not set:
    a measurement leaves thousands of rows behind.
    """
    with ExitStack() as stack:
        if use_configured:
            _require_configured()
        else:
            _refuse_configured()
            own = stack.enter_context(servers.temporary())
            # All as the owner: the yardstick makes tables of its own, and VACUUM is the owner's.
            os.environ |= dict.fromkeys(
                _OF_DATABASE, own.database_urls[roles.VARIABLES[roles.Role.OWNER]]
            )
            os.environ["REDIS_URL"] = own.redis_url
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="billing-bench-")))
        os.environ |= {
            "BILLING_DATA_DIR": str(folder),
            "LEAD_WEBHOOK_SECRETS": secret_files.random_webhook_secret(),
            "RAZORPAY_WEBHOOK_SECRETS": secret_files.random_password(),
        }
        settings.get.cache_clear()
        migrate.upgrade(roles.addresses(settings.get()))
        yield Lab(folder, _environment())
        connections.engine().dispose()


@contextmanager
def database_of_its_own(here: Lab) -> Iterator[Lab]:
    """Work on a new, migrated database of the same server for the block; drop it after.

    For books that must not stay behind, or that must hold nothing else. Raises `DevstackError`
    if the role may not create a database.
    """
    name = f"billing_bench_{secrets.token_hex(4)}"
    url = make_url(settings.get().database_owner_url).set(database=name)
    before = {variable: os.environ.get(variable) for variable in _OF_DATABASE}
    _maintain(f"CREATE DATABASE {name}")
    try:
        _point_at(dict.fromkeys(_OF_DATABASE, url.render_as_string(hide_password=False)))
        migrate.upgrade(roles.addresses(settings.get()))
        yield replace(here, environment=_environment())
    finally:
        _point_at(before)
        _maintain(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def with_environment(here: Lab, **variables: str) -> Lab:
    """Return the lab with more in the environment of the processes that are measured."""
    return replace(here, environment=here.environment | variables)


def settle() -> None:
    """Bring the server to rest before the clock starts: statistics fresh, nothing left to flush."""
    with connections.engine().connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql("VACUUM (ANALYZE)")
        if connection.scalar(text("SELECT pg_has_role(current_user, 'pg_checkpoint', 'usage')")):
            connection.exec_driver_sql("CHECKPOINT")
        connection.exec_driver_sql("RESET statement_timeout")


def database_version() -> str:
    """Return the server's version, and whether a commit waits for the disk."""
    with session.transaction() as open_session:
        version, fsync, commit = open_session.execute(
            text(
                "SELECT current_setting('server_version'), current_setting('fsync'),"
                " current_setting('synchronous_commit')"
            )
        ).one()
    return f"PostgreSQL {version}, fsync {fsync}, synchronous_commit {commit}"


_OF_DATABASE = tuple(roles.VARIABLES.values())


def _point_at(variables: dict[str, str | None]) -> None:
    connections.engine().dispose()
    for variable, value in variables.items():
        if value is None:
            os.environ.pop(variable, None)
        else:
            os.environ[variable] = value
    settings.get.cache_clear()
    connections.engine.cache_clear()


def _maintain(statement: str) -> None:
    engine = create_engine(settings.get().database_owner_url, poolclass=NullPool)
    try:
        with engine.connect() as plain:
            connection = plain.execution_options(isolation_level="AUTOCOMMIT")
            connection.exec_driver_sql(statement)
    except DBAPIError as error:
        if isinstance(error.orig, psycopg2.errors.InsufficientPrivilege):
            raise DevstackError(
                "this measurement makes a database of its own, which the role of the environment"
                " may not: ALTER ROLE ... CREATEDB, or name the other measurements"
            ) from error
        raise


_VARIABLES = ("DATABASE_URL", "REDIS_URL")


def _require_configured() -> None:
    missing = [name for name in _VARIABLES if not os.environ.get(name)]
    if missing:
        raise DevstackError(f"--use-configured-database needs {' and '.join(missing)}")


def _refuse_configured() -> None:
    found = [name for name in _VARIABLES if os.environ.get(name)]
    if found:
        raise DevstackError(
            f"{' and '.join(found)} is set, and a measurement writes thousands of rows there:"
            " unset it to measure on servers of our own, or pass --use-configured-database"
        )


def _environment() -> dict[str, str]:
    programs = Path(sys.executable).parent
    return dict(os.environ) | {
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
    }

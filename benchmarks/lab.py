"""Where it is measured: servers of our own on throw-away data, or those of the environment.

Also the folder for logs, and the environment of every process that a measurement starts.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

import settings
from db import migrate, session
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

    Raises `DevstackError` where the environment names servers and `use_configured` is not set:
    a measurement leaves thousands of rows behind.
    """
    with ExitStack() as stack:
        if use_configured:
            _require_configured()
        else:
            _refuse_configured()
            own = stack.enter_context(servers.temporary())
            # All as the owner: the yardstick makes tables of its own, and VACUUM is the owner's.
            os.environ |= {"DATABASE_URL": own.database_owner_url, "REDIS_URL": own.redis_url}
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="billing-bench-")))
        os.environ |= {
            "BILLING_DATA_DIR": str(folder),
            "LEAD_WEBHOOK_SECRETS": secret_files.random_webhook_secret(),
        }
        settings.get.cache_clear()
        migrate.upgrade(settings.get().database_owner_url)
        yield Lab(folder, _environment())
        session.engine().dispose()


def settle() -> None:
    """Bring the server to rest before the clock starts: statistics fresh, nothing left to flush."""
    with session.engine().connect() as plain:
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

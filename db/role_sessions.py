"""What `billing migrate` does as each role: see that all addresses lead to one place, set limits.

A role may set the defaults of its own sessions, so nobody needs the administrator for it. Whoever
cannot connect as a role, or is refused, is given the statements instead.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, NullPool, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from db import limits, roles
from db.limits import LIMITS
from db.roles import Addresses, Role
from errors import PermanentError

_LOCK = 7_100_403
"""Any fixed number: the key of the advisory lock under which one process sets the limits."""


class OtherPlace(PermanentError):
    """Two addresses of the settings lead to different databases or schemas."""

    def __init__(self, role: Role, found: str, of_owner: str) -> None:
        super().__init__(
            f"{roles.VARIABLES[role]} leads to {found}, and {roles.VARIABLES[Role.OWNER]} to"
            f" {of_owner}: let both name the same server, database and search_path"
        )


class NoSchema(PermanentError):
    """The search path of the owner names no schema that exists."""

    def __init__(self, search_path: str) -> None:
        super().__init__(
            f"no schema of the search_path {search_path!r} exists: create it, or correct the"
            f" options of {roles.VARIABLES[Role.OWNER]}"
        )


@dataclass(frozen=True, slots=True)
class RoleLimits:
    """What became of the limits of one PostgreSQL role."""

    role: str
    changed: bool
    """False: they were set before, or were refused."""
    refused: str | None = None
    """Why they could not be set."""
    statements: tuple[str, ...] = ()
    """What an administrator can run instead."""


@dataclass(frozen=True, slots=True)
class _Place:
    database: str
    server: datetime
    """When it was started, which no other server has in common with it."""
    schema: str | None
    search_path: str

    def __str__(self) -> str:
        at = f"the server started at {self.server:%Y-%m-%d %H:%M:%S}"
        return f"database {self.database!r}, schema {self.schema!r} of {at}"


def require_one_place(addresses: Addresses) -> None:
    """Raise `OtherPlace` unless each address that answers leads to the owner's database and schema.

    Raises `NoSchema` if the owner has none to work in, and `SearchPathDropped` if it is not in the
    one that its address asks for. What cannot be reached is judged when its
    process starts.
    """
    owner = addresses[Role.OWNER]
    with _connected(owner) as connection:
        of_owner = _place(connection)
    limits.require_search_path(make_url(owner), of_owner.search_path)
    if of_owner.schema is None:
        raise NoSchema(of_owner.search_path)
    for role, url in addresses.items():
        if url == owner:
            continue
        try:
            with _connected(url) as connection:
                found = _place(connection)
        except DBAPIError:
            continue
        if (found.server, found.database, found.schema) != (
            of_owner.server, of_owner.database, of_owner.schema,
        ):  # fmt: skip
            raise OtherPlace(role, str(found), str(of_owner))


def set_limits(addresses: Addresses) -> list[RoleLimits]:
    """Set our limits as defaults of every role that processes work as, in this database only."""
    database = str(make_url(addresses[Role.OWNER]).database)
    done = {}
    for role, url in addresses.items():
        name = roles.role_of(url)
        # Nothing of ours runs as the owner, unless it is a role of the processes too.
        if role is not Role.OWNER and name is not None and name not in done:
            done[name] = _set_limits_of(name, url, database)
    return list(done.values())


def _set_limits_of(name: str, url: str, database: str) -> RoleLimits:
    try:
        with _connected(url) as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            database = str(connection.scalar(text("SELECT current_database()")))
            there = set(connection.scalars(_DEFAULTS))
            changed = False
            for setting, value in LIMITS.items():
                if f"{setting}={value}" not in there:
                    connection.exec_driver_sql(
                        _statement("CURRENT_USER", database, setting, value).replace("%", "%%")
                    )
                    changed = True
            connection.commit()
    except DBAPIError as error:
        reason = str(error.orig).strip().split("\n", 1)[0]
        quoted = roles.quoted(name)
        statements = (_statement(quoted, database, *limit) for limit in LIMITS.items())
        return RoleLimits(name, changed=False, refused=reason, statements=tuple(statements))
    return RoleLimits(name, changed=changed)


def _statement(role: str, database: str, setting: str, value: str) -> str:
    return f"ALTER ROLE {role} IN DATABASE {roles.quoted(database)} SET {setting} = '{value}'"


def _place(connection: Connection) -> _Place:
    database, server, search_path, user = connection.execute(_PLACE).one()
    named = [user if name == "$user" else name for name in limits.schemas(search_path)]
    # Not current_schema(), which leaves out what the role has no right to use yet.
    there = set(connection.scalars(_SCHEMAS, {"names": named}))
    first = next((name for name in named if name in there), None)
    return _Place(database, server, first, search_path)


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 5})
    with engine.connect() as connection:
        yield connection


_PLACE = text(
    "SELECT current_database(), pg_postmaster_start_time(), current_setting('search_path'),"
    " current_user"
)
_SCHEMAS = text("SELECT nspname FROM pg_namespace WHERE nspname = ANY(CAST(:names AS text[]))")
_DEFAULTS = text("""
SELECT unnest(setconfig) FROM pg_db_role_setting s
  JOIN pg_roles r ON r.oid = s.setrole AND r.rolname = current_user
  JOIN pg_database d ON d.oid = s.setdatabase AND d.datname = current_database()
""")

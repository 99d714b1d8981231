"""The migrations of a database, and what its roles need after them.

Called by `billing migrate` and the development stack. Knows the order of the steps: whether the
addresses lead to one place, the migrations with the rights in one transaction
(`db/migrations/env.py`), the limits of each role.
"""

from dataclasses import dataclass, field

from alembic import command
from alembic.config import Config
from sqlalchemy import NullPool, create_engine

from db import role_sessions, schema_version
from db.errors import SchemaMismatch
from db.grants import RoleRights
from db.role_sessions import RoleLimits
from db.roles import Addresses, Role
from db.schema_version import SchemaState


@dataclass(frozen=True, slots=True)
class Migration:
    """A migration that was applied."""

    revision: str
    title: str
    """The first line of its file."""


@dataclass(slots=True)
class MigrationReport:
    """What `upgrade` did."""

    database: str = ""
    schema: str = ""
    before: str | None = None
    after: str | None = None
    applied: list[Migration] = field(default_factory=list)
    rights: list[RoleRights] = field(default_factory=list)
    limits: list[RoleLimits] = field(default_factory=list)


def upgrade(addresses: Addresses, *, revision: str = "head") -> MigrationReport:
    """Apply every pending migration to the database of the owner, and report what was done.

    The other roles that `addresses` names are granted their rights on all tables (`db/grants.py`)
    in the same transaction, and then set to our limits. Safe to call from several processes at
    once: an advisory lock makes them wait for each other. Raises `SchemaMismatch` if the database
    is newer than this code, `UnknownRole`, `OtherPlace`; nothing is migrated then.
    """
    owner_url = addresses[Role.OWNER]
    _refuse_newer(owner_url)
    role_sessions.require_one_place(addresses)
    alembic = config(owner_url)
    report = MigrationReport()
    alembic.attributes.update(addresses=addresses, report=report)
    command.upgrade(alembic, revision)
    report.limits = role_sessions.set_limits(addresses)
    return report


def config(owner_url: str) -> Config:
    """Return the Alembic configuration for one database; there is no alembic.ini."""
    alembic = Config()
    alembic.set_main_option("script_location", str(schema_version.SCRIPTS))
    alembic.attributes["addresses"] = {Role.OWNER: owner_url}
    return alembic


def _refuse_newer(owner_url: str) -> None:
    engine = create_engine(owner_url, poolclass=NullPool)
    with engine.connect() as connection:
        found = schema_version.read(connection)
    if found.state is SchemaState.NEWER and found.problem:
        raise SchemaMismatch(found.problem)

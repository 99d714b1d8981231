"""The migrations of a database; called by `billing migrate` and the development stack."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from db import roles

SCRIPTS = Path(__file__).parent / "migrations"


def upgrade(owner_url: str, *, application_url: str | None = None, revision: str = "head") -> None:
    """Apply every pending migration to the database of `owner_url` (SQLAlchemy form).

    If `application_url` names another role, it is granted its rights on all tables (`db/roles.py`)
    in the same transaction. Safe to call from several processes at once: an advisory lock makes
    them wait for each other. Raises `UnknownRole`.
    """
    alembic = config(owner_url)
    alembic.attributes["application_role"] = application_url and roles.role_of(application_url)
    command.upgrade(alembic, revision)


def config(database_url: str) -> Config:
    """Return the Alembic configuration for one database; there is no alembic.ini."""
    alembic = Config()
    alembic.set_main_option("script_location", str(SCRIPTS))
    alembic.attributes["database_url"] = database_url
    return alembic

"""Bring a database to the newest schema; called by `billing migrate` and the development stack."""

from pathlib import Path

from alembic import command
from alembic.config import Config


def upgrade(database_url: str, revision: str = "head") -> None:
    """Apply every migration that `database_url` (SQLAlchemy form) has not seen yet.

    Safe to call from several processes at once: they take turns by an advisory lock.
    """
    command.upgrade(config(database_url), revision)


def config(database_url: str) -> Config:
    """Return the Alembic configuration for one database; there is no alembic.ini."""
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    alembic.attributes["database_url"] = database_url
    return alembic

"""The migrations make exactly the tables that the models describe, and can be repeated."""

import subprocess
import sys

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

import settings
from db import migrate
from db.connections import engine
from db.models import Base
from db.session import transaction


def test_the_migrated_schema_is_the_models_schema(database: str) -> None:
    with engine().connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_an_upgrade_may_be_repeated_and_run_by_several_at_once(database: str) -> None:
    url = settings.get().database_owner_url
    command.downgrade(migrate.config(url), "base")
    billing = [sys.executable, "-c", "from cli.main import main; main()", "migrate"]
    migrators = [
        subprocess.Popen(billing, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)
    ]
    ends = [(process.communicate(timeout=60), process.returncode) for process in migrators]
    assert [code for _, code in ends] == [0, 0, 0], ends
    with transaction() as session:
        assert session.scalars(text("SELECT version_num FROM alembic_version")).all() == ["0007"]


def test_everything_can_be_taken_down_again(database: str) -> None:
    command.downgrade(migrate.config(settings.get().database_owner_url), "base")
    with transaction() as session:
        left = session.scalars(
            text("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        ).all()
    assert set(left) <= {"alembic_version", "alembic_version_pkc"}

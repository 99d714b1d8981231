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
        assert session.scalars(text("SELECT version_num FROM alembic_version")).all() == ["0008"]


def test_a_gateway_never_heard_of_has_no_time_of_its_last_event(database: str) -> None:
    alembic = migrate.config(settings.get().database_owner_url)
    command.downgrade(alembic, "0007")
    with transaction() as session:
        session.execute(
            text(
                "INSERT INTO gateway_signs (gateway, last_event_at)"
                " VALUES ('never', '2000-01-01 00:00:00+00'), ('heard', '2026-01-01 00:00:00+00')"
            )
        )
    command.upgrade(alembic, "head")
    with transaction() as session:
        found = session.execute(
            text("SELECT gateway, last_event_at IS NULL FROM gateway_signs ORDER BY gateway")
        )
        assert found.all() == [("heard", False), ("never", True)]
    command.downgrade(alembic, "0007")
    with transaction() as session:
        never = text("SELECT extract(year FROM last_event_at) FROM gateway_signs ORDER BY gateway")
        assert session.scalars(never).all() == [2026, 2000]


def test_everything_can_be_taken_down_again(database: str) -> None:
    command.downgrade(migrate.config(settings.get().database_owner_url), "base")
    with transaction() as session:
        left = session.scalars(
            text("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        ).all()
    assert set(left) <= {"alembic_version", "alembic_version_pkc"}

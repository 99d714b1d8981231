"""The migrations make exactly the tables that the models describe, and can be repeated."""

import subprocess
import sys
from hashlib import sha256

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

import settings
from db import migrate
from db.connections import engine
from db.models import Base
from db.session import transaction
from tests.conftest import owner


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
        assert session.scalars(text("SELECT version_num FROM alembic_version")).all() == ["0015"]


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


def test_requests_of_a_created_key_move_from_its_name_to_the_key(database: str) -> None:
    # Given requests of a created key and of keys of API_KEYS, one with its name at an earlier time
    alembic = migrate.config(settings.get().database_owner_url)
    command.downgrade(alembic, "0008")
    with owner() as session:
        session.execute(
            text(
                "INSERT INTO api_keys (id, name, key_sha256, product, scopes, created_at)"
                " OVERRIDING SYSTEM VALUE"
                " VALUES (7, 'portal', '\\x00', 'clinic_leads', '{}', '2026-01-02Z')"
            )
        )
        for caller, key, day, done in (
            ("portal", "done", 3, True), ("portal", "open", 3, False),
            ("portal", "y" * 250, 3, False), ("portal", "before", 1, True),
            ("house", "sha256-x", 3, False),
        ):  # fmt: skip
            session.execute(
                text(
                    "INSERT INTO api_requests (caller, idempotency_key, request, request_hash,"
                    " created_at, status, answer)"
                    " VALUES (:caller, :key, 'POST /v1/x', '\\x00', :at, :status, :answer)"
                ),
                {"caller": caller, "key": key, "at": f"2026-01-0{day}Z",
                 "status": 201 if done else None, "answer": "{}" if done else None},
            )  # fmt: skip
    # When
    command.upgrade(alembic, "head")
    # Then each is found by its key, and what is unfinished goes on under the name it began with
    with transaction() as session:
        found = session.execute(
            text("SELECT caller, left(idempotency_key, 8), reach, operation_key FROM api_requests")
        )
        digest = sha256(b"y" * 250).hexdigest()
        assert set(found.all()) == {
            ("#7", "done", "product:clinic_leads", None),
            ("#7", "open", "product:clinic_leads", "api:portal:open"),
            ("#7", "yyyyyyyy", "product:clinic_leads", f"api:portal:sha256-{digest}"),
            ("portal", "before", None, None),
            ("house", "sha256-x", None, "api:house:sha256-x"),
        }
    command.downgrade(alembic, "0008")
    with transaction() as session:
        callers = session.scalars(text("SELECT DISTINCT caller FROM api_requests ORDER BY 1")).all()
        assert callers == ["house", "portal"]


def test_everything_can_be_taken_down_again(database: str) -> None:
    command.downgrade(migrate.config(settings.get().database_owner_url), "base")
    with transaction() as session:
        left = session.scalars(
            text("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        ).all()
    assert set(left) <= {"alembic_version", "alembic_version_pkc"}

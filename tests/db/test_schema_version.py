"""The schema of the database against the code's: current, older, newer, none, another tenant's."""

import pytest
from sqlalchemy import text

from db import schema_version
from db.errors import SchemaMismatch
from db.schema_version import SchemaState
from db.session import transaction
from tests.conftest import owner


def found() -> schema_version.SchemaVersion:
    with transaction() as session:
        return schema_version.read(session)


def test_a_migrated_database_is_current_and_no_problem(database: str) -> None:
    version = found()
    assert (version.state, version.found) == (SchemaState.CURRENT, version.needed)
    assert version.serves
    assert version.problem is None
    with transaction() as session:
        schema_version.require(session)


@pytest.mark.parametrize(
    ("revision", "state", "serves", "remedy"),
    [
        ("0001", SchemaState.OLDER, False, r"0001, older than .*: run `billing migrate`"),
        ("9999", SchemaState.NEWER, True, r"9999, newer than .*: start the version that migrated"),
    ],
)
def test_another_revision_is_named_with_what_to_do(
    database: str, revision: str, state: SchemaState, *, serves: bool, remedy: str
) -> None:
    with owner() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})

    version = found()

    assert (version.state, version.serves) == (state, serves)
    with pytest.raises(SchemaMismatch, match=remedy), transaction() as session:
        schema_version.require(session)


@pytest.mark.parametrize("statement", ["DROP TABLE alembic_version", "DELETE FROM alembic_version"])
def test_a_database_without_a_revision_is_not_migrated(database: str, statement: str) -> None:
    with owner() as connection:
        connection.execute(text(statement))

    assert found().state is SchemaState.NOT_MIGRATED


def test_a_migrated_schema_behind_ours_in_the_search_path_is_not_taken_for_ours(
    database: str,
) -> None:
    with owner() as connection:
        connection.execute(text("CREATE SCHEMA tenant; GRANT USAGE ON SCHEMA tenant TO PUBLIC"))

    with transaction() as session:
        session.execute(text("SET LOCAL search_path = tenant, public"))
        assert schema_version.read(session).state is SchemaState.NOT_MIGRATED

"""Every column that can hold text is registered: as personal data, or as none."""

import pytest
from sqlalchemy import ARRAY, JSON, LargeBinary, Text, text

from billing.privacy import erasure
from db.models import Base
from db.personal_data import NOT_PERSONAL, PERSONAL
from tests.conftest import owner

TABLES = Base.metadata.tables
HOLD_TEXT = (Text, JSON, LargeBinary, ARRAY)


def of_text(table: str) -> set[str]:
    """The columns of a table that can hold what somebody wrote."""
    return {c.name for c in TABLES[table].columns if isinstance(c.type, HOLD_TEXT)}


@pytest.mark.parametrize("table", sorted(TABLES))
def test_each_column_of_text_is_registered_once_as_personal_data_or_as_none(table: str) -> None:
    personal, other = set(PERSONAL.get(table, {})), set(NOT_PERSONAL.get(table, ()))

    assert personal | other == of_text(table), "sort the column into db/personal_data.py"
    assert not personal & other


def test_no_table_is_registered_that_is_not_there() -> None:
    assert (PERSONAL.keys() | NOT_PERSONAL.keys()) - TABLES.keys() == set()


def test_personal_data_is_either_blanked_or_kept_for_a_reason() -> None:
    for table, columns in PERSONAL.items():
        for name, rule in columns.items():
            assert (rule.blank is None) != (rule.kept is None), f"{table}.{name}"


def test_the_eraser_knows_every_table_with_a_column_to_blank() -> None:
    with_blanks = {
        table
        for table, columns in PERSONAL.items()
        if any(rule.blank is not None for rule in columns.values())
    }

    assert set(erasure.TABLES) == with_blanks


def test_no_column_is_hidden_from_the_registry_by_a_type_of_its_own(database: str) -> None:
    # The models might call a column of text something else; the database does not.
    known = {(table, name) for table in TABLES for name in of_text(table)}
    with owner() as connection:
        found = connection.execute(
            text(
                "SELECT table_name, column_name FROM information_schema.columns"
                " JOIN information_schema.tables USING (table_schema, table_name)"
                " WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"
                "   AND table_name <> 'alembic_version'"
                "   AND data_type NOT IN ('bigint', 'boolean', 'date', 'uuid',"
                "                         'timestamp with time zone')"
            )
        )
        assert {tuple(row) for row in found} == known

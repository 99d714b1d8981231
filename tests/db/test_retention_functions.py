"""What a role may do that is granted the two retention functions and nothing else.

The role is made, used and rolled back within one transaction of the owner.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from tests.billing.given import at_once, rows
from tests.conftest import owner

pytestmark = pytest.mark.usefixtures("database")

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
BLANK = text("SELECT blanked, more FROM retention_blank(:now, :now, NULL, 100)")
FOLD = text("SELECT folded, more FROM retention_fold(:now, :now, 100)")

OLD_ROWS = """
INSERT INTO inbound_events (source, event_id, body_sha256, body, received_at, state,
                            next_attempt_at)
SELECT 'leads', 'e' || n, '\\x01', 'body', timestamptz '2024-11-01 12:00Z', 'done',
       timestamptz '2024-11-01 12:00Z' FROM generate_series(1, :number) n
"""


@pytest.fixture
def retention() -> Iterator[Connection]:
    """A connection as such a role, with ten old bodies to blank."""
    with owner() as connection:
        schema = connection.scalar(text("SELECT current_schema()"))
        for statement in (
            "CREATE ROLE only_retention",
            f'GRANT USAGE ON SCHEMA "{schema}" TO only_retention',
            "GRANT EXECUTE ON FUNCTION retention_blank, retention_fold TO only_retention",
        ):
            connection.execute(text(statement))
        connection.execute(text(OLD_ROWS), {"number": 10})
        connection.execute(text("SET LOCAL ROLE only_retention"))
        yield connection
        connection.rollback()


def test_it_blanks_and_folds(retention: Connection) -> None:
    assert retention.execute(BLANK, {"now": NOW}).one() == (10, True)
    assert retention.execute(BLANK, {"now": NOW}).one() == (0, False)
    assert retention.execute(FOLD, {"now": NOW}).one() == (0, False)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT body FROM inbound_events",
        "SELECT answer FROM api_requests",
        "SELECT 1 FROM retention_progress",
        "UPDATE inbound_events SET body = ''",
        "UPDATE retention_progress SET reached_id = 0",
        "DELETE FROM inbound_events",
        "DELETE FROM retention_leftovers",
        "INSERT INTO api_keys (name) VALUES ('mine')",
        "SELECT 1 FROM credit_transactions",
        "TRUNCATE inbound_events",
        "CREATE TABLE mine (id bigint)",
        "CREATE OR REPLACE FUNCTION retention_fold() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER FUNCTION retention_blank SECURITY INVOKER",
    ],
)
def test_it_can_do_nothing_else(retention: Connection, statement: str) -> None:
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
        retention.execute(text(statement))


def test_a_table_of_its_own_does_not_stand_in_for_ours(retention: Connection) -> None:
    # Given tables in the schema that PostgreSQL by itself would look in first
    retention.execute(text("CREATE TEMP TABLE retention_progress (name text, reached_id bigint)"))
    retention.execute(text("CREATE TEMP TABLE inbound_events (id bigint)"))

    assert retention.execute(BLANK, {"now": NOW}).one() == (10, True)


@pytest.mark.parametrize("call", [BLANK, FOLD])
def test_nobody_may_call_them_who_was_not_granted_it(call: object) -> None:
    with owner() as connection:
        schema = connection.scalar(text("SELECT current_schema()"))
        connection.execute(text("CREATE ROLE nobody_at_all"))
        connection.execute(text(f'GRANT USAGE ON SCHEMA "{schema}" TO nobody_at_all'))
        connection.execute(text("SET LOCAL ROLE nobody_at_all"))
        with pytest.raises(ProgrammingError, match="permission denied for function"):
            connection.execute(call, {"now": NOW})  # type: ignore[call-overload]
        connection.rollback()


def test_callers_at_once_blank_each_row_once_and_wait_for_each_other() -> None:
    with owner() as connection:
        connection.execute(text(OLD_ROWS), {"number": 1_000})

    def until_none_is_left() -> int:
        total, more = 0, True
        while more:
            with owner() as connection:
                blanked, more = connection.execute(BLANK, {"now": NOW}).one()
            total += blanked or 0
        return total

    done = at_once(*[until_none_is_left] * 4)

    assert sum(int(str(number)) for number in done) == 1_000
    assert rows("SELECT count(*) FROM inbound_events WHERE body <> ''") == [(0,)]

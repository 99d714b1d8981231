"""What PostgreSQL or its driver refuses: permanent if it can never pass, and never with a value."""

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from db.driver_errors import translated
from db.errors import (
    DatabaseBusy,
    DatabaseUnavailable,
    SchemaMissing,
    StatementFailed,
    StatementRefused,
)
from db.session import one_statement, pooled_statement, transaction
from errors import BillingError, PermanentError
from service.disclosure import shown_traceback
from tasks import drain
from tests.billing.given import open_account, rows
from tests.tasks.given import deliver, lead_event, work

pytestmark = pytest.mark.usefixtures("database")

PRIVATE = "asha@example.org"
INSERT = (
    "INSERT INTO accounts (ref, product, name, timezone, head_hash, created_at)"
    " VALUES ({ref}, 'p', {name}, 'UTC', '', '2026-01-01')"
)

NEVER = {
    "a year": ("SELECT CAST('9999999-01-01' AS date)", "22008"),
    "an offset": ("SELECT CAST('2026-01-01T00:00+16:00' AS timestamptz)", "22009"),
    "no number": (f"SELECT CAST('{PRIVATE}' AS bigint)", "22P02"),
    "a large number": ("SELECT CAST(9223372036854775808 AS bigint)", "22003"),
    "json of NUL": (r"""SELECT CAST('{"asha": "\u0000"}' AS jsonb)""", "22P05"),
    "json of NaN": ("SELECT CAST('NaN' AS jsonb)", "22P02"),
    "a long text in an index": (
        INSERT.format(
            ref="(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 900) n)",
            name=f"'{PRIVATE}'",
        ),
        "54000",
    ),
    "a missing value": (INSERT.format(ref="NULL", name=f"'{PRIVATE}'"), "23502"),
    "no SQL": (f"SELEC '{PRIVATE}'", "42601"),
}


@pytest.mark.parametrize("why", NEVER)
def test_a_statement_that_can_never_succeed_is_permanent_and_shows_no_value(why: str) -> None:
    statement, code = NEVER[why]
    for door in ("transaction", "one", "pooled"):
        with pytest.raises(StatementRefused) as caught:
            _run(statement, door)

        assert code in str(caught.value)
        assert isinstance(caught.value, PermanentError)
        shown = str(caught.value) + shown_traceback(caught.value)
        assert "asha" not in shown
        assert "SELEC" not in str(caught.value)
        assert "INSERT" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        psycopg2.DatabaseError("SSL SYSCALL error: Connection timed out"),
        psycopg2.DatabaseError("error with status PGRES_TUPLES_OK and no message from the libpq"),
        psycopg2.OperationalError("server closed the connection unexpectedly"),
    ],
)
def test_a_lost_connection_is_transient_by_whichever_error_the_driver_notices_it(
    error: psycopg2.Error,
) -> None:
    for raised in (error, DBAPIError("SELECT 1", {}, error)):
        with pytest.raises(DatabaseUnavailable), translated():
            raise raised


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT function_of_a_later_version()",
        "SELECT CAST('x' AS type_of_a_later_version)",
        "SELECT 1 FROM schema_of_a_later_version.accounts",
        "INSERT INTO accounts (ref) VALUES ('clinic:1') ON CONFLICT (name, ref) DO NOTHING",
    ],
)
def test_what_a_migration_brings_is_waited_for(statement: str) -> None:
    with pytest.raises(SchemaMissing):
        _run(statement, "transaction")


@pytest.mark.parametrize("value", ["a\x00b", "a\ud800b"], ids=["NUL", "surrogate"])
def test_a_text_that_the_driver_cannot_send_is_permanent(value: str) -> None:
    with pytest.raises(StatementRefused), transaction() as session:
        session.execute(text("SELECT CAST(:value AS text)"), {"value": value})


def test_what_depends_on_the_rows_of_others_is_not_permanent() -> None:
    open_account("clinic:1")
    with pytest.raises(StatementFailed, match="accounts, uq_accounts_ref") as caught:
        _run(INSERT.format(ref="'clinic:1'", name=f"'{PRIVATE}'"), "transaction")
    assert "clinic:1" not in str(caught.value)
    assert not isinstance(caught.value, PermanentError)

    with pytest.raises(DatabaseBusy):
        _run("SET LOCAL statement_timeout = 10; SELECT pg_sleep(1)", "transaction")


@pytest.mark.parametrize(
    ("statement", "dead"), [(f"SELECT CAST('{PRIVATE}' AS bigint)", True), (None, False)]
)
def test_a_row_whose_statement_can_never_succeed_is_dead_at_once_without_its_sql(
    monkeypatch: pytest.MonkeyPatch, statement: str | None, dead: bool
) -> None:
    # Given a handler that runs such a statement, or fails on a value in Python
    def handle(session: object, _events: object) -> object:
        if statement is None:
            return int(PRIVATE)
        return session.execute(text(statement))  # type: ignore[attr-defined]

    monkeypatch.setitem(drain.HANDLERS, "leads", handle)
    deliver(lead_event())

    # When a worker works on the row
    with capture_logs() as logs:
        work()

    # Then it is dead, or tried again, and neither row nor log holds what was sent
    [(state, error)] = rows("SELECT state, last_error FROM inbound_events")
    assert state == ("dead" if dead else "pending")
    expected = "StatementRefused: PostgreSQL cannot" if dead else "ValueError in handle (tests/"
    assert str(error).startswith(expected)
    assert "asha" not in f"{error} {logs}"
    assert "SELECT" not in str(error)


def test_every_error_that_leaves_a_transaction_is_ours() -> None:
    for statement in ("SELECT 1/0", "ROLLBACK; SELECT nothing()", "DROP TABLE accounts"):
        with pytest.raises(BillingError):
            _run(statement, "transaction")


def _run(statement: str, door: str) -> None:
    if door == "transaction":
        with transaction() as session:
            session.connection().exec_driver_sql(statement)
    else:
        opened = one_statement() if door == "one" else pooled_statement()
        with opened as cursor:
            cursor.execute(statement)

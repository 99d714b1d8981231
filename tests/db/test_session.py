"""The one commit: its limits and how the driver's errors come out."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import make_url, text

import clock
import settings
from db import after_commit, connections, outbox
from db.errors import DatabaseBusy, DatabaseUnavailable, StatementRefused
from db.limits import LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS
from db.session import (
    one_statement,
    pooled_statement,
    snapshot,
    transaction,
)
from tests.billing.given import open_account, rows
from tests.conftest import owner


@pytest.mark.usefixtures("database")
class TestTransaction:
    def test_commits_at_the_end_and_rolls_back_on_an_error(self) -> None:
        open_account("clinic:1")
        with pytest.raises(ZeroDivisionError), transaction() as session:
            session.execute(text("UPDATE accounts SET name = 'changed'"))
            raise ZeroDivisionError
        assert rows("SELECT name FROM accounts") == [("City Clinic",)]

    def test_has_time_limits_and_speaks_utc(self) -> None:
        with transaction() as session:
            shown = {
                name: session.scalar(text(f"SHOW {name}"))
                for name in (
                    "statement_timeout",
                    "lock_timeout",
                    "idle_in_transaction_session_timeout",
                    "timezone",
                )
            }
        assert shown == {
            "statement_timeout": f"{STATEMENT_TIMEOUT_MS // 1000}s",
            "lock_timeout": f"{LOCK_TIMEOUT_MS // 1000}s",
            "idle_in_transaction_session_timeout": "1min",
            "timezone": "UTC",
        }

    def test_a_statement_over_its_time_is_busy(self) -> None:
        with pytest.raises(DatabaseBusy, match="timeout"), transaction() as session:
            session.execute(text("SET LOCAL statement_timeout = 20"))
            session.execute(text("SELECT pg_sleep(5)"))

    def test_a_deadlock_is_busy_for_one_and_lets_the_other_through(
        self, many_connections: None
    ) -> None:
        for ref in ("clinic:1", "clinic:2"):
            open_account(ref)
        together = Barrier(2)
        lock = text("SELECT 1 FROM accounts WHERE ref = :ref FOR UPDATE")

        def cross(order: tuple[str, str]) -> str:
            try:
                with transaction() as session:
                    session.execute(lock, {"ref": order[0]})
                    together.wait()
                    session.execute(lock, {"ref": order[1]})
            except DatabaseBusy:
                return "busy"
            return "through"

        with ThreadPoolExecutor(2) as pool:
            ends = list(pool.map(cross, [("clinic:1", "clinic:2"), ("clinic:2", "clinic:1")]))
        assert sorted(ends) == ["busy", "through"]

    def test_a_connection_that_the_server_ended_is_unavailable_once_and_replaced(self) -> None:
        with pytest.raises(DatabaseUnavailable), transaction() as session:
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        assert rows("SELECT 1") == [(1,)]

    def test_an_error_text_holds_no_values_of_the_statement(self) -> None:
        with pytest.raises(Exception, match="SQL") as caught, transaction() as session:
            session.execute(text("SELECT 1 / 0, :secret"), {"secret": "s3cret"})
        assert "s3cret" not in str(caught.value)

    def test_a_snapshot_is_read_only_and_does_not_move(self) -> None:
        open_account("clinic:1")
        with snapshot() as picture:
            count = text("SELECT count(*) FROM accounts")
            assert picture.scalar(count) == 1
            open_account("clinic:2")
            assert picture.scalar(count) == 1
        with (
            pytest.raises(Exception, match="read-only"),
            snapshot() as picture,
        ):
            picture.execute(text("DELETE FROM accounts"))

    def test_a_commit_that_wrote_notices_nudges_once_and_no_other_does(self) -> None:
        nudged: list[object] = []
        after_commit.call_on_notices(lambda: nudged.append(rows("SELECT id FROM outbox_events")))
        try:
            notice = outbox.NewNotice("plan.paid", "plan:1", None, {})
            with transaction() as session:
                for _ in range(2):
                    outbox.write(session, [notice], now=clock.now())
                assert nudged == []
            with pytest.raises(ZeroDivisionError), transaction() as session:
                outbox.write(session, [notice], now=clock.now())
                raise ZeroDivisionError
            with transaction() as session:
                outbox.write(session, [], now=clock.now())
        finally:
            after_commit.call_on_notices(None)
        assert nudged == [[(1,), (2,)]]


def test_a_database_out_of_reach_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    settings.get.cache_clear()
    connections.engine.cache_clear()
    try:
        with pytest.raises(DatabaseUnavailable), transaction() as session:
            session.execute(text("SELECT 1"))
    finally:
        monkeypatch.undo()
        settings.get.cache_clear()
        connections.engine.cache_clear()


def test_one_statement_is_committed_by_itself_on_a_connection_that_is_kept(database: str) -> None:
    backends = set()
    for number in range(3):
        with one_statement() as cursor:
            cursor.execute(
                "INSERT INTO accounts (ref, product, name, timezone, head_hash, created_at)"
                " VALUES (%s, 'clinic_leads', 'n', 'UTC', '', '2026-11-21Z')"
                " RETURNING pg_backend_pid()",
                (f"clinic:{number}",),
            )
            backends.add(cursor.fetchone())
    with transaction() as other:
        assert other.scalar(text("SELECT count(*) FROM accounts")) == 3
    assert len(backends) == 1


def test_one_statement_finds_a_new_connection_when_the_server_closed_its_own(
    database: str,
) -> None:
    with one_statement() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [(backend,)] = cursor.fetchall()
    with owner() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": backend})

    with pytest.raises(DatabaseUnavailable), one_statement() as cursor:
        cursor.execute("SELECT 1")

    with one_statement() as cursor:
        cursor.execute("SELECT 2")
        assert cursor.fetchone() == (2,)


def test_one_statement_that_fails_costs_nobody_the_connection(database: str) -> None:
    with pytest.raises(StatementRefused), one_statement() as cursor:
        cursor.execute("SELECT 1/0")
    with one_statement() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_a_pooled_statement_is_committed_by_itself_and_leaves_transactions_as_they_are(
    database: str,
) -> None:
    account = (
        "INSERT INTO accounts (ref, product, name, timezone, head_hash, created_at)"
        " VALUES ('clinic:{}', 'clinic_leads', 'n', 'UTC', '', '2026-11-21Z')"
        " RETURNING pg_backend_pid()"
    )
    with pooled_statement() as cursor:
        cursor.execute(account.format(1))
        [(backend,)] = cursor.fetchall()
    with pytest.raises(ZeroDivisionError), transaction() as session:
        assert session.scalar(text(account.format(2))) == backend
        raise ZeroDivisionError
    assert rows("SELECT ref FROM accounts") == [("clinic:1",)]


def test_a_pooled_statement_that_fails_leaves_the_next_as_it_is(database: str) -> None:
    with pytest.raises(StatementRefused), pooled_statement() as cursor:
        cursor.execute("SELECT 1/0")
    with pooled_statement() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_connections_that_the_server_closed_meanwhile_are_replaced_unnoticed(database: str) -> None:
    with transaction() as one, transaction() as other:
        backends = [s.scalar(text("SELECT pg_backend_pid()")) for s in (one, other)]
    with owner() as connection:
        for backend in backends:
            connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": backend})

    assert rows("SELECT 1") == [(1,)]
    with pooled_statement() as cursor:
        cursor.execute("SELECT 2")
        assert cursor.fetchone() == (2,)


def test_a_process_whose_connections_are_all_in_use_is_busy(database: str) -> None:
    narrow = connections.make_engine(make_url(settings.get().database_url), pool_size=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(narrow.pool, "_timeout", 0.1)
        patch.setattr(connections, "engine", lambda: narrow)
        with transaction() as first:
            first.execute(text("SELECT 1"))
            with pytest.raises(DatabaseBusy, match="in use"), transaction() as second:
                second.execute(text("SELECT 1"))
    narrow.dispose()

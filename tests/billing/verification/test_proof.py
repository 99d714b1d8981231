"""`ledger verify` finds what direct SQL did to the books, and names the place."""

import threading
from datetime import datetime
from itertools import count

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from billing import verification
from billing.ledger import Outcome
from billing.verification import chain_walk, findings
from billing.verification.findings import Breach, Findings
from billing.verification.set_checks import SET_CHECKS
from db import roles
from db.session import snapshot
from tests.billing.given import give, open_account, post_all, take
from tests.conftest import owner
from tests.tampering import tamper

GUARDED = "the append-only tables are guarded by their triggers"


@pytest.fixture(autouse=True)
def books(database: str) -> None:
    """Two accounts with a history: credit, charges, a debt."""
    for ref in ("clinic:1", "clinic:2"):
        open_account(ref, credits_=100, overdraft_limit=50)
        for i in range(3):
            post_all(take(40, key=f"{ref}:{i}", account=ref, lead_id=f"{ref}-{i}"))
        post_all(give(5, key=f"{ref}:g", account=ref))


def breaches(*, jobs: int = 0) -> list[tuple[str, str]]:
    """What is found; with jobs, in as many processes and parts as there can be."""
    with snapshot() as session:
        report = verification.verify(session, jobs=jobs, rows_for_a_process=1)
        return [(b.account, b.detail) for b in report.breaches]


def test_untouched_books_are_clean_and_counted() -> None:
    with snapshot() as session:
        report = verification.verify(session)
    assert (report.accounts, report.transactions, report.breaches) == (2, 10, [])


@pytest.mark.parametrize(
    "change",
    [
        "description = 'something else'",
        "lead_id = 'another lead'",
        "actor = 'somebody else'",
        "event_at = event_at - interval '1 microsecond'",
        "created_at = created_at - interval '1 day'",
        "request_hash = sha256('x')",
        "kind = 'adjustment'",
        "row_hash = sha256('x')",
    ],
)
def test_a_changed_row_is_named_once_at_its_place(change: str) -> None:
    tamper(f"UPDATE credit_transactions SET {change} WHERE idempotency_key = 'clinic:2:0'")
    found = breaches()
    assert len(found) == 1
    account, detail = found[0]
    assert account == "clinic:2"
    assert "version 2" in detail


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE credit_transactions SET amount = -39 WHERE idempotency_key = 'clinic:2:1'",
        "UPDATE credit_transactions SET balance_after = 7 WHERE idempotency_key = 'clinic:2:1'",
        "UPDATE accounts SET balance = balance + 1 WHERE ref = 'clinic:2'",
        "UPDATE accounts SET version = version + 1 WHERE ref = 'clinic:2'",
        "UPDATE accounts SET head_hash = sha256('x') WHERE ref = 'clinic:2'",
        "UPDATE accounts SET held = 1000 WHERE ref = 'clinic:2'",
        "UPDATE lot_movements SET amount = amount - 1 WHERE charge_id ="
        " (SELECT id FROM credit_transactions WHERE idempotency_key = 'clinic:2:1')",
        "DELETE FROM lot_movements WHERE charge_id ="
        " (SELECT id FROM credit_transactions WHERE idempotency_key = 'clinic:2:0')",
        "UPDATE credit_debts SET remaining = remaining - 1 WHERE account_id ="
        " (SELECT id FROM accounts WHERE ref = 'clinic:2')",
        "INSERT INTO credit_lots (account_id, transaction_id, source, amount, remaining,"
        " created_at) SELECT account_id, id, 'goodwill', 5, 5, created_at"
        " FROM credit_transactions WHERE idempotency_key = 'clinic:2:g'",
        "DELETE FROM transaction_kinds WHERE kind = 'goodwill'",
    ],
)
def test_every_other_way_to_bend_the_books_is_found(statement: str) -> None:
    tamper(statement)
    accounts = {account for account, _ in breaches()}
    assert accounts
    assert accounts <= {"clinic:2", "all"}


def test_a_removed_row_is_a_gap() -> None:
    tamper(
        "DELETE FROM lot_movements; DELETE FROM credit_transactions"
        " WHERE idempotency_key = 'clinic:2:0'"
    )
    assert any(
        account == "clinic:2" and detail.endswith("version 3: expected 2")
        for account, detail in breaches()
    )


def test_a_row_whose_account_is_gone_is_found() -> None:
    tamper("DELETE FROM accounts WHERE ref = 'clinic:2'")
    assert any(detail.endswith("version 1: its account is missing") for _, detail in breaches())


def test_an_account_without_rows_starts_from_its_own_name() -> None:
    open_account("clinic:3")
    assert breaches() == []
    tamper("UPDATE accounts SET head_hash = sha256('x') WHERE ref = 'clinic:3'")
    assert breaches() == [("clinic:3", "version 0: they differ")]


@pytest.mark.parametrize("column", ["event_at", "created_at"])
@pytest.mark.parametrize(
    "time", ["20000-01-01", "0044-03-15 BC", "infinity", "-infinity", "9999-12-31 23:59:59-11"]
)
def test_a_row_with_a_time_that_cannot_be_is_named_and_the_rest_is_checked(
    column: str, time: str
) -> None:
    # Given such a row, past the constraint that refuses it, and another one that was changed
    tamper(
        f"ALTER TABLE credit_transactions DROP CONSTRAINT ck_credit_transactions_{column}",
        f"UPDATE credit_transactions SET {column} = '{time}' WHERE idempotency_key = 'clinic:2:0'",
        "UPDATE credit_transactions SET actor = 'x' WHERE idempotency_key = 'clinic:1:1'",
        "UPDATE accounts SET balance = balance + 1 WHERE ref = 'clinic:1'",
    )
    # Then all of it is found, by one process or by several
    for jobs in (0, 2):
        found = breaches(jobs=jobs)
        assert any(a == "clinic:2" and "version 2: event_at or created_at" in d for a, d in found)
        assert any(a == "clinic:1" and "version 3: the content" in d for a, d in found)
        assert any(a == "clinic:1" and "balance" in d for a, d in found)


@pytest.mark.parametrize("column", ["event_at", "created_at"])
@pytest.mark.parametrize("time", ["20000-01-01", "0044-03-15 BC", "infinity", "-infinity"])
def test_the_database_itself_refuses_a_time_that_cannot_be(column: str, time: str) -> None:
    with pytest.raises(IntegrityError, match=f"ck_credit_transactions_{column}"):
        tamper(f"UPDATE credit_transactions SET {column} = '{time}'")


@pytest.mark.parametrize("time", ["1970-01-01T14:00:00+14:00", "9000-12-31T11:59:59-12:00"])
def test_every_time_that_a_posting_may_have_can_be_written(time: str) -> None:
    result = post_all(
        take(1, key="edge", account="clinic:1", event_at=datetime.fromisoformat(time))
    )
    assert result[0].outcome is Outcome.APPLIED
    assert breaches() == []


# --- the guards ---------------------------------------------------------------------------------

UNGUARDED = [
    "DROP TRIGGER {trigger} ON {table}",
    "ALTER TABLE {table} DISABLE TRIGGER {trigger}",
    "ALTER TABLE {table} ENABLE TRIGGER {trigger}",
    "ALTER TABLE {table} ENABLE REPLICA TRIGGER {trigger}",
]


@pytest.mark.parametrize("table", sorted(roles.APPEND_ONLY))
@pytest.mark.parametrize("trigger", ["append_only", "append_only_truncate"])
def test_a_trigger_that_does_not_guard_its_table_is_a_breach(table: str, trigger: str) -> None:
    for statement in UNGUARDED:
        with owner() as connection:
            connection.execute(text(statement.format(table=table, trigger=trigger)))
            # As the owner and before the commit, so that nothing has to be put back
            found = connection.execute(text(dict(SET_CHECKS)[GUARDED])).all()
            connection.rollback()
        [(account, detail)] = found
        assert (account, detail.startswith(f"{table}: the trigger {trigger} ")) == ("all", True)


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TRIGGER append_only ON hold_events; CREATE TRIGGER append_only"
        " BEFORE DELETE ON hold_events FOR EACH ROW EXECUTE FUNCTION refuse_change()",
        "DROP TRIGGER append_only ON hold_events; CREATE TRIGGER append_only"
        " BEFORE UPDATE OR DELETE ON hold_events FOR EACH ROW WHEN (false)"
        " EXECUTE FUNCTION refuse_change()",
        "DROP TRIGGER append_only ON hold_events; CREATE TRIGGER append_only"
        " BEFORE UPDATE OF actor OR DELETE ON hold_events FOR EACH ROW"
        " EXECUTE FUNCTION refuse_change()",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NEW; END'",
    ],
)
def test_a_trigger_that_was_hollowed_out_is_a_breach_for_the_application_too(
    statement: str,
) -> None:
    with owner() as connection:
        connection.execute(text(statement))
        connection.execute(text("ALTER TABLE hold_events ENABLE ALWAYS TRIGGER append_only"))
    assert ("all", "hold_events: the trigger append_only does not refuse every change") in (
        breaches()
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE transaction_kinds SET house_account = 'breakage' WHERE kind = 'goodwill'",
        "INSERT INTO transaction_kinds VALUES ('gift', 'adjustments')",
        "DELETE FROM transaction_kinds WHERE kind = 'bonus'",
    ],
)
def test_a_kind_with_another_house_account_is_a_breach(statement: str) -> None:
    tamper(statement)
    [(account, detail)] = breaches()
    assert (account, detail.startswith("kind ")) == ("all", True)


# --- in parts and in processes ------------------------------------------------------------------


@pytest.mark.parametrize("rows_each", [1, 2, 3, 4, 5, 9, 10, 11])
def test_segments_cover_every_row_once_and_are_about_as_large_as_asked(rows_each: int) -> None:
    with snapshot() as session:
        walked = [
            sum(result for result in chain_walk.walk(session, segment) if isinstance(result, int))
            for segment in chain_walk.segments(session, rows_each=rows_each)
        ]
    assert sum(walked) == 10
    assert max(walked) == min(rows_each, 10)


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("rows_each", [1, 2, 3, 7])
def test_a_changed_row_is_found_wherever_the_cuts_are(version: int, rows_each: int) -> None:
    tamper(
        f"UPDATE credit_transactions SET row_hash = sha256('x') WHERE version = {version}"
        " AND idempotency_key LIKE '%clinic:2%'"
    )
    with snapshot() as session:
        found = Findings()
        for segment in reversed(chain_walk.segments(session, rows_each=rows_each)):
            for result in chain_walk.walk(session, segment):
                if isinstance(result, Breach):
                    found.add(result)
    assert [(b.account, b.version) for b in found.breaches()] == [("clinic:2", version)]


def test_rows_are_fetched_in_small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_walk, "CHUNK", 3)
    with snapshot() as session:
        [everything] = chain_walk.segments(session, rows_each=100)
        assert list(chain_walk.walk(session, everything)) == [3, 3, 3, 1]


def test_processes_find_what_one_alone_finds() -> None:
    # Given one account with a changed row, a removed one, and a lot that has too much
    tamper(
        "UPDATE credit_transactions SET actor = 'x' WHERE idempotency_key = 'clinic:1:1';"
        "DELETE FROM lot_movements; DELETE FROM credit_transactions"
        " WHERE idempotency_key = 'clinic:2:0'"
    )
    alone = breaches()
    assert {account for account, _ in alone} == {"clinic:1", "clinic:2", "all"}
    assert breaches(jobs=2) == alone


def test_all_processes_see_the_books_of_one_moment_while_others_write() -> None:
    # Given writers that do not stop
    numbers, stop = count(), threading.Event()

    def write() -> None:
        while not stop.is_set():
            post_all(give(10, key=f"traffic:{next(numbers)}", account="clinic:2"))

    # When the books are verified meanwhile, by processes that start at different times
    writer = threading.Thread(target=write)
    with snapshot() as session:
        session.execute(text("SELECT 1"))
        writer.start()
        progress: list[tuple[int, int]] = []
        try:
            report = verification.verify(
                session, jobs=2, rows_for_a_process=1,
                on_progress=lambda done, total: progress.append((done, total)),
            )  # fmt: skip
        finally:
            stop.set()
            writer.join()
    # Then it is the moment of the snapshot that they all saw
    assert (report.transactions, report.breaches) == (10, [])
    assert progress[0] == (0, 10)
    assert progress[-1] == (10, 10)
    assert next(numbers) > 0


def test_books_that_are_broken_everywhere_do_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(findings, "MOST_BREACHES", 2)
    tamper("UPDATE accounts SET held = 1, balance = balance + 1")
    with snapshot() as session:
        report = verification.verify(session)
    assert len(report.breaches) == 2
    assert report.more_breaches >= 2


def test_of_an_account_the_first_broken_row_counts_in_whatever_order_they_come() -> None:
    found = Findings()
    for version in (7, 3, 5):
        found.add(Breach("a rule", "clinic:1", f"version {version}", version))
    found.add(Breach("another rule", "clinic:1", "as a whole"))
    assert [b.detail for b in found.breaches()] == ["as a whole", "version 3"]

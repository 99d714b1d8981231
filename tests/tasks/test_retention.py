"""Retention on beat, by a real worker: step by step, through kills, and as no other role."""

from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import text
from structlog.testing import capture_logs

import settings
from tasks import retention as task
from tests.billing.given import assert_ledger_is_clean, open_account, post_all, rows, take
from tests.conftest import owner
from tests.stack_process import eventually
from tests.worker_process import WorkerProcess
from worker.app import app

pytestmark = pytest.mark.usefixtures("database")

ROWS = 30_000
"""So many that a tick takes a second or two, and can be killed in between."""


def old_bodies(number: int) -> None:
    """Finished deliveries of two years ago."""
    with owner() as connection:
        connection.execute(
            text(
                "INSERT INTO inbound_events (source, event_id, body_sha256, body, received_at,"
                " state, outcome, next_attempt_at, handled_at)"
                " SELECT 'razorpay', 'e' || n, sha256('body'), 'body', t, 'done', 'captured', t, t"
                " FROM generate_series(1, :number) n, (SELECT timestamptz '2024-11-01 12:00Z') a(t)"
            ),
            {"number": number},
        )


def blanked() -> int:
    [(number,)] = rows("SELECT count(*) FROM inbound_events WHERE blanked_at IS NOT NULL")
    return int(str(number))


def test_a_killed_tick_keeps_the_steps_that_it_took_and_the_next_one_takes_the_rest(
    redis: Redis, tmp_path: Path
) -> None:  # two starts of a worker: about 10 s
    # Given old bodies, and a ledger beside them
    open_account(credits_=100)
    post_all(take(10, key="t"))
    old_bodies(ROWS)
    with WorkerProcess(tmp_path / "first.log") as worker:
        # When the worker is killed in the middle of a tick
        app.send_task(task.blank.name)
        eventually("some are blanked", blanked)
        worker.kill()
    some = blanked()
    assert 0 < some < ROWS
    assert some % 500 == 0
    redis.flushdb()
    with WorkerProcess(tmp_path / "second.log"):
        app.send_task(task.blank.name)
        # Then another one takes the rest, and proves of the books are as before
        eventually("all are blanked", lambda: blanked() == ROWS)
    assert_ledger_is_clean()


def test_a_tick_says_how_much_it_blanked_and_is_silent_if_that_is_nothing() -> None:
    old_bodies(3)

    with capture_logs() as logged:
        task.blank.run()
        task.blank.run()

    assert [line for line in logged if line["event"] == "personal data blanked"] == [
        {"event": "personal data blanked", "bodies": 3, "answers": 0, "log_level": "info"}
    ]


def test_a_tick_leaves_to_the_next_what_its_time_does_not_allow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old_bodies(3)
    monkeypatch.setattr(task, "WORK_SECONDS", 0)
    task.blank.run()
    assert blanked() == 0


def test_zero_days_blank_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    old_bodies(3)
    monkeypatch.setenv("RETENTION_BODIES_DAYS", "0")
    settings.get.cache_clear()
    task.blank.run()
    assert blanked() == 0


def test_a_role_without_the_right_is_one_error_line_that_names_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old_bodies(3)
    monkeypatch.setenv("DATABASE_RETENTION_URL", settings.get().database_url)
    settings.get.cache_clear()

    with capture_logs() as logged:
        task.blank.run()

    [line] = [line for line in logged if line["event"] == "retention not allowed"]
    assert line["log_level"] == "error"
    assert line["setting"] == "DATABASE_RETENTION_URL"
    assert blanked() == 0

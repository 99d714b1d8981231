"""Grants by the tick: fanned out over workers, and killed in the middle."""

import os
import signal
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from redis import Redis
from structlog.testing import capture_logs

import clock
from billing.plans import month_name
from billing.plans.calendar import month_of, months_before, start_of
from billing.plans.grants import CHUNK_SIZE
from tasks.plans import grants as task
from tests.billing.given import assert_ledger_is_clean, rows
from tests.billing.plans import given as planning
from tests.billing.plans.given import KOLKATA, MONTHLY
from tests.stack_process import eventually
from tests.worker_process import WorkerProcess
from worker.app import app

pytestmark = pytest.mark.usefixtures("database", "redis")


def bought_last_month(number: int) -> str:
    """Accounts to which this very month is due; its name."""
    month = month_of(clock.now(), KOLKATA)
    planning.open_many(
        number, bought_at=start_of(months_before(month, 1), KOLKATA) + timedelta(days=3)
    )
    return month_name(month)


def granted() -> int:
    return int(str(rows("SELECT count(*) FROM credit_transactions WHERE kind = 'grant'")[0][0]))


def has_granted(enough: int) -> bool:
    return granted() >= enough


def assert_each_has_its_month(number: int, month: str) -> None:
    found = rows(
        "SELECT count(*), count(DISTINCT account_id), min(amount), max(amount),"
        "       count(*) FILTER (WHERE idempotency_key LIKE '%:' || :month)"
        "  FROM credit_transactions",
        month=month,
    )
    assert found == [(number, number, MONTHLY, MONTHLY, number)]
    assert rows("SELECT min(balance), max(balance), max(version) FROM accounts") == [
        (MONTHLY, MONTHLY, 1)
    ]
    assert_ledger_is_clean()


def test_a_tick_grants_what_is_due_and_a_second_one_nothing() -> None:
    month = bought_last_month(10)

    with capture_logs() as logs:
        task.grant.run()
        task.grant.run()

    assert [(line["event"], line["months"]) for line in logs] == [("monthly credit granted", 10)]
    assert_each_has_its_month(10, month)


def test_who_claims_a_whole_chunk_calls_one_worker_more(redis: Redis) -> None:
    bought_last_month(2 * CHUNK_SIZE + 1)

    task.grant.run()

    assert redis.llen("schedule") == 1
    assert granted() == 2 * CHUNK_SIZE + 1


def test_a_run_of_workers_that_are_killed_grants_each_account_once(
    tmp_path: Path, redis: Redis, pytestconfig: pytest.Config
) -> None:
    number = pytestconfig.getoption("--grant-accounts")
    month = bought_last_month(number)
    kills = 0
    for part in (0.1, 0.3, 0.6):
        # Given workers in the middle of the run
        redis.flushdb()  # no message is left of the last ones, not even one in hand
        with WorkerProcess(tmp_path / "worker.log", WORKER_PROCESSES="2") as worker:
            app.send_task(task.NAME)
            eventually(
                f"{part:.0%} are granted",
                partial(has_granted, int(part * number)),
                seconds=120,
            )
            # When everything dies at once
            assert granted() < number
            os.killpg(worker.process.pid, signal.SIGKILL)
            kills += 1
            worker.process.wait()
    # Then the next ones go on with what is left, and each account has its month, once
    with WorkerProcess(tmp_path / "worker.log", WORKER_PROCESSES="2"):
        app.send_task(task.NAME)
        eventually("all are granted", partial(has_granted, number), seconds=200)
    assert kills == 3
    assert_each_has_its_month(number, month)

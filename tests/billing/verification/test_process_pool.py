"""The processes of a verification: their errors and ends are reported, and none is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import settings
from billing.verification import VerificationFailed, process_pool
from db.errors import DatabaseUnavailable
from db.session import SharedSnapshot, share, snapshot
from tests.billing.given import rows
from tests.stack_process import eventually

pytestmark = pytest.mark.usefixtures("database")


def work(session: Session, task: str) -> Iterator[Any]:
    """What a child of these tests does; it is found by name in a process that was spawned."""
    yield task, os.getpid(), session.scalar(text("SELECT current_setting('transaction_read_only')"))
    if task == "raise":
        raise ValueError("two\nlines")
    if task == "lose the database":
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    if task == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "sleep":
        session.execute(text("SELECT pg_sleep(60)"))


def run(*tasks: str, jobs: int = 1) -> list[Any]:
    with snapshot() as session:
        return list(process_pool.run(share(session), work, tasks, jobs=jobs))


def children() -> list[psutil.Process]:
    """Our spawned processes that are still there; the resource tracker stays on purpose."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def test_every_task_is_done_once_by_processes_that_can_only_read() -> None:
    done = run(*"abcdefg", jobs=3)

    assert sorted(task for task, _, _ in done) == list("abcdefg")
    assert {read_only for _, _, read_only in done} == {"on"}
    assert os.getpid() not in {pid for _, pid, _ in done}
    assert children() == []


def test_nothing_to_do_is_done() -> None:
    assert run() == []


def test_an_error_in_a_child_comes_out_in_one_line() -> None:
    with pytest.raises(VerificationFailed) as caught:
        run("raise", "a", jobs=2)

    assert str(caught.value) == "a process of the verification failed: ValueError: two lines"
    assert children() == []


def test_a_database_that_goes_away_is_unavailable_as_ever() -> None:
    with pytest.raises(DatabaseUnavailable):
        run("lose the database")
    assert children() == []


def test_a_child_that_is_killed_is_missed() -> None:
    with pytest.raises(VerificationFailed, match=r"ended suddenly \(exit code -9\)"):
        run("die")
    assert children() == []


def test_a_snapshot_that_is_over_cannot_be_shared() -> None:
    with snapshot() as session:
        shared = share(session)
    with pytest.raises(VerificationFailed, match="snapshot"):
        list(process_pool.run(shared, work, ["a"], jobs=1))
    assert "password" not in repr(SharedSnapshot("postgresql://ops:password@db/x", "1"))


def test_who_loses_interest_leaves_no_process_and_no_query_behind() -> None:
    with snapshot() as session:
        results = process_pool.run(share(session), work, ["sleep"], jobs=1)
        next(results)
        results.close()
        assert children() == []
    asleep = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
    eventually("the server notices", lambda: not rows(asleep), seconds=15)


_PROGRAM = """
import signal

# As a terminal starts it: what a shell puts into the background is born deaf to SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)

from billing.verification import process_pool
from db.session import share, snapshot
from tests.billing.verification.test_process_pool import work

if __name__ == "__main__":
    with snapshot() as session:
        for task, pid, _ in process_pool.run(share(session), work, ["sleep"] * 2, jobs=2):
            print(task, pid, flush=True)
"""


def test_ctrl_c_ends_everything_without_a_word_from_the_children(tmp_path: Any) -> None:
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM)
    # Given a verification in a terminal, with two processes at work
    process = subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(settings.PROJECT_DIR)}, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    pids = [int(process.stdout.readline().split()[1]) for _ in range(2)]
    # When Ctrl-C reaches every process of the terminal
    asked_at = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    try:
        _, stderr = process.communicate(timeout=30)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # whatever happened, leave nothing behind
        process.communicate()
    # Then all of them end at once, and only the parent says why
    assert time.monotonic() - asked_at < 10
    assert process.returncode != 0
    assert stderr.count("Traceback") == 1
    assert stderr.rstrip().endswith("KeyboardInterrupt")
    assert not any(psutil.pid_exists(pid) for pid in pids)

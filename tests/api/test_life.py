"""The end of the API's process: what it has begun is answered first."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text

from db.session import transaction
from tests.api.api_process import ApiProcess
from tests.api.conftest import HOUSE_KEY
from tests.api.given_spending import charge, on_record
from tests.billing.given import open_account
from tests.raw_http import head, held_open
from tests.stack_process import eventually

STOPPED_SECONDS = 8
"""Less than the Procfile's `--workers-kill-timeout`: nobody had to be killed."""


@pytest.mark.usefixtures("house")
def test_a_post_in_progress_at_sigterm_gets_its_answer(
    database_url: str, log_file: Path, number: int
) -> None:
    # Given a charge in progress, beside a connection that is idle
    account = open_account(f"clinic:stop-{number}", credits_=1_000)
    keys = {"API_KEYS": f"house:{HOUSE_KEY}", "API_PROCESSES": "1"}
    with ApiProcess(log_file, DATABASE_URL=database_url, **keys) as api, ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        [idle] = stack.enter_context(held_open(api, head("GET", "/healthz", []), count=1))
        assert api.answer_on(idle).status == 200
        with transaction() as session:
            locked = text("SELECT pg_backend_pid() FROM accounts WHERE ref = :ref FOR UPDATE")
            ours = session.scalar(locked, {"ref": account})
            posted = pool.submit(charge, api, account, 5, once="stop")
            eventually("the charge waits for its account", lambda: _waits_for(ours))

            # When the API is to stop
            api.process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            time.sleep(0.5)
            assert api.process.poll() is None

        # Then the charge is answered, and then the API ends in order
        assert posted.result().status == 201
        assert on_record(account) == (995, 0, 1)
        assert api.process.wait(30) == 0
        assert time.monotonic() - started < STOPPED_SECONDS
    assert "Traceback" not in api.log


def _waits_for(pid: object) -> bool:
    waiting = text("SELECT 1 FROM pg_stat_activity WHERE :pid = ANY(pg_blocking_pids(pid))")
    with transaction() as session:
        return session.scalar(waiting, {"pid": pid}) is not None

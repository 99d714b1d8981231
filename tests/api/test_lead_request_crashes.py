"""`POST /v1/leads` that dies on its way, or is overtaken: the row and the answer come together."""

import http.client
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from db.roles import Role
from db.session import transaction
from tests.api.api_process import ApiProcess
from tests.api.conftest import HOUSE_KEY
from tests.api.given_spending import kind
from tests.api.test_idempotency_process import wait_for_lease
from tests.api.test_lead_requests import charges, inbox, send
from tests.billing.given import open_account, rows
from tests.stack_process import eventually
from tests.tasks.given import work

pytestmark = pytest.mark.usefixtures("house")


@pytest.fixture
def clinic(number: int) -> str:
    return open_account(f"clinic:{number}", credits_=1_000)


@contextmanager
def inbox_locked() -> Iterator[None]:
    """Let whoever inserts into the inbox wait."""
    with transaction(Role.OWNER) as session:
        session.execute(text("LOCK TABLE inbound_events IN SHARE MODE"))
        yield


def wait_until_blocked(count: int) -> None:
    """Wait until so many requests stand at the lock."""
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'inbound_events'::regclass"
    )
    eventually(f"{count} wait", lambda: rows(waiting) == [(count,)], seconds=4)


def end_lease(once: str) -> None:
    """Let the lease of a request run out."""
    with transaction() as session:
        session.execute(
            text(
                "UPDATE api_requests SET claimed_until = claimed_until - interval '2 minutes'"
                " WHERE idempotency_key = :once"
            ),
            {"once": once},
        )


def test_a_process_that_is_killed_as_it_records_leaves_nothing_and_a_repeat_records_once(
    api: ApiProcess, database_url: str, number: int, clinic: str, log_file: Path
) -> None:
    lead, once = f"K-{number}", f"k-{number}"
    environment = {"DATABASE_URL": database_url, "API_KEYS": f"house:{HOUSE_KEY}"}
    with (
        ApiProcess(log_file, **environment, API_PROCESSES="1") as killed,
        ThreadPoolExecutor(1) as pool,
        inbox_locked(),
    ):
        asked = pool.submit(send, killed, lead, clinic, once=once)
        wait_for_lease(once)
        wait_until_blocked(1)
        os.killpg(killed.process.pid, signal.SIGKILL)
        assert isinstance(asked.exception(20), OSError | http.client.HTTPException)
    assert inbox(lead) == []
    end_lease(once)

    assert send(api, lead, clinic, once=once).status == 202

    work("api_leads")
    assert inbox(lead) == [("api_leads", "done", "charged")]
    assert len(charges(lead)) == 1


def test_a_request_that_a_repeat_has_overtaken_records_nothing(
    api: ApiProcess, number: int, clinic: str
) -> None:
    lead, once = f"K-{number}", f"k-{number}"
    with ThreadPoolExecutor(2) as pool:
        # Given a request that is so slow that its lease ends, and a repeat of it
        with inbox_locked():
            slow = pool.submit(send, api, lead, clinic, once=once)
            wait_for_lease(once)
            wait_until_blocked(1)
            end_lease(once)
            repeat = pool.submit(send, api, lead, clinic, once=once)
            wait_until_blocked(2)
        answers = [slow.result(), repeat.result()]

    # Then one of them is recorded and answered, and the other has done nothing
    assert sorted(answer.status for answer in answers) == [202, 409]
    [refused] = [answer for answer in answers if answer.status == 409]
    assert kind(refused) == "request-in-progress"
    assert len(inbox(lead)) == 1

"""One Idempotency-Key against the API as it runs: at the same moment, and after a kill."""

import http.client
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import text

from billing import accounts
from db.session import transaction
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY, OTHER_HOUSE_KEY
from tests.billing.given import rows
from tests.server_process import Answer

pytestmark = pytest.mark.usefixtures("house")

AT_ONCE = 8


def body(number: int) -> dict[str, object]:
    return {"ref": f"clinic:{number}", "name": "City Clinic", "product": "clinic_leads"}


@contextmanager
def reference_held(number: int) -> Iterator[None]:
    """Hold the reference in a transaction that comes to nothing: who opens it has to wait."""
    with suppress(_RolledBack), transaction() as session:
        accounts.create(session, ref=f"clinic:{number}", name="Nobody", product="clinic_leads")
        yield
        raise _RolledBack


class _RolledBack(Exception):
    pass


def wait_for_lease(once: str) -> None:
    deadline = time.monotonic() + 10
    while not rows("SELECT 1 FROM api_requests WHERE idempotency_key = :once", once=once):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def opened(number: int) -> int:
    return len(
        rows(
            "SELECT 1 FROM billing_audit_log WHERE subject = :s AND action = 'account.opened'",
            s=f"account:clinic:{number}",
        )
    )


@pytest.mark.parametrize("held", [False, True], ids=["as fast as it goes", "while one is slow"])
def test_the_same_request_many_times_at_once_is_done_once_and_answered_alike(
    api: ApiProcess, number: int, held: bool
) -> None:
    together = Barrier(AT_ONCE)

    def ask(_: int) -> Answer:
        together.wait()
        return api.post("/v1/accounts", HOUSE_KEY, body(number), once=f"same-{number}")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        if held:
            with reference_held(number):
                asked = [pool.submit(ask, n) for n in range(AT_ONCE)]
                wait_for_lease(f"same-{number}")
                time.sleep(0.3)
                assert not any(one.done() for one in asked)
        else:
            asked = [pool.submit(ask, n) for n in range(AT_ONCE)]
        answers = [one.result() for one in asked]

    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    replayed = [answer.headers.get("idempotent-replayed") for answer in answers]
    assert sorted(map(str, replayed)) == ["None"] + ["true"] * (AT_ONCE - 1)
    assert opened(number) == 1


def test_other_content_under_the_key_is_refused_at_once_however_slow_the_first(
    api: ApiProcess, number: int
) -> None:
    with ThreadPoolExecutor(1) as pool, reference_held(number):
        first = pool.submit(api.post, "/v1/accounts", HOUSE_KEY, body(number), once=f"c-{number}")
        wait_for_lease(f"c-{number}")

        other = {**body(number), "name": "Other"}
        answer = api.post("/v1/accounts", HOUSE_KEY, other, once=f"c-{number}")

        assert not first.done()
    assert answer.status == 409
    assert problem(answer)["type"] == "urn:problem-type:billing:idempotency-conflict"
    assert first.result().status == 201


def test_the_key_of_another_caller_is_another_key(api: ApiProcess, number: int) -> None:
    api.post("/v1/accounts", HOUSE_KEY, body(number), once=f"k-{number}")

    answer = api.post("/v1/accounts", OTHER_HOUSE_KEY, body(number), once=f"k-{number}")

    assert problem(answer)["type"] == "urn:problem-type:billing:account-exists"


def test_a_header_that_is_missing_is_named(api: ApiProcess, number: int) -> None:
    sent = [("authorization", f"Bearer {HOUSE_KEY}"), ("content-type", "application/json")]

    answer = api.request("POST", "/v1/accounts", b"{}", sent)

    assert answer.status == 422
    assert problem(answer)["errors"][0]["field"] == "Idempotency-Key"


def test_a_process_killed_between_claim_and_answer_leaves_nothing_half_done(
    database_url: str, number: int, log_file: Path
) -> None:
    environment = {"DATABASE_URL": database_url, "API_KEYS": f"house:{HOUSE_KEY}"}
    once = f"killed-{number}"
    # Given an API that is killed while it works on a request
    with (
        ApiProcess(log_file, **environment, API_PROCESSES="1") as api,
        ThreadPoolExecutor(1) as pool,
        reference_held(number),
    ):
        asked = pool.submit(api.post, "/v1/accounts", HOUSE_KEY, body(number), once=once)
        wait_for_lease(once)
        os.killpg(api.process.pid, signal.SIGKILL)
        assert isinstance(asked.exception(20), OSError | http.client.HTTPException)
    assert opened(number) == 0
    # When its claim has run out
    with transaction() as session:
        session.execute(
            text(
                "UPDATE api_requests SET claimed_until = claimed_until - interval '2 minutes'"
                " WHERE idempotency_key = :once AND status IS NULL"
            ),
            {"once": once},
        )
    # Then a repeat is done as if it were the first, once
    with ApiProcess(log_file, **environment, API_PROCESSES="1") as api:
        first = api.post("/v1/accounts", HOUSE_KEY, body(number), once=once)
        second = api.post("/v1/accounts", HOUSE_KEY, body(number), once=once)
    assert (first.status, second.status) == (201, 201)
    assert first.body == second.body
    assert opened(number) == 1

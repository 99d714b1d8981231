"""`require_credits` on tasks of a real worker: one hold for each task, however often it runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.result import AsyncResult
from redis import Redis

from billing_client import InvalidRequest, NotEnoughCredit, Unreachable, require_credits
from tests.billing_client import platform_tasks as tasks
from tests.billing_client.bank import API_KEY, OPENING, Bank
from tests.billing_client.lossy_proxy import LossyProxy
from tests.billing_client.platform_tasks import PRICE, Wrong
from tests.stack_process import eventually
from tests.worker_process import WorkerProcess

APP = "tests.billing_client.platform_tasks"
PAID = [("captured", PRICE, PRICE)]
VOIDED = [("voided", PRICE, 0)]


@pytest.fixture(scope="module")
def running_worker(
    bank_proxy: LossyProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    """A platform's worker, with the API behind the network."""
    with a_worker(bank_proxy, tmp_path_factory.mktemp("worker") / "worker.log") as running:
        yield running
    assert API_KEY not in running.log


@pytest.fixture
def worker(bank: Bank, redis: Redis, running_worker: WorkerProcess) -> WorkerProcess:
    return running_worker


def a_worker(proxy: LossyProxy, log_file: Path) -> WorkerProcess:
    return WorkerProcess(log_file, app=APP, BILLING_API_URL=proxy.url, BILLING_API_KEY=API_KEY)


def result_of(sent: AsyncResult, *, seconds: float = 60) -> Any:
    """What the task returned; raises what it failed with."""
    return sent.get(timeout=seconds, interval=0.05)


def runs(redis: Redis, sent: AsyncResult) -> int:
    return int(redis.get(f"runs:{sent.id}") or 0)


def test_a_killed_worker_hands_its_hold_on(bank: Bank, redis: Redis, tmp_path: Path) -> None:
    # The first of this file: the worker of the others would take the task.
    with a_worker(bank.proxy, tmp_path / "first.log") as first:
        sent = tasks.work.delay(bank.account, ["hang", "ok"])
        eventually("the task runs", lambda: runs(redis, sent) == 1)
        assert bank.holds() == [("open", PRICE, 0)]
        # When the worker is killed with all its processes, and another one comes
        first.kill()
    with a_worker(bank.proxy, tmp_path / "second.log"):
        assert result_of(sent) == "ok"
    assert runs(redis, sent) == 2
    assert bank.holds() == PAID


@pytest.mark.usefixtures("worker")
def test_a_task_is_charged_when_it_has_succeeded(bank: Bank) -> None:
    sent = tasks.work.delay(bank.account, ["ok"])

    assert result_of(sent) == "ok"
    assert bank.holds() == PAID
    assert bank.balance() == OPENING - PRICE
    [placed] = [asked for asked in bank.proxy.asked if asked.path == "/v1/holds"]
    assert placed.headers["idempotency-key"].startswith(f"task:{sent.id}:")


@pytest.mark.usefixtures("worker")
def test_one_hold_lasts_through_all_retries(bank: Bank, redis: Redis) -> None:
    # Given tasks that ask for a retry, or fail and are retried by Celery, and then succeed
    asks = tasks.work.delay(bank.account, ["retry", "retry", "use 7"])
    fails = tasks.stubborn.delay(bank.account, ["fail", "fail", "ok"])

    assert (result_of(asks), result_of(fails)) == ("use 7", "ok")
    assert (runs(redis, asks), runs(redis, fails)) == (3, 3)
    assert sorted(bank.holds()) == [("captured", PRICE, 7), *PAID]
    assert bank.balance() == OPENING - 7 - PRICE


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("task", "step", "times"),
    [("work", "fail", 1), ("work", "retry", 3), ("stubborn", "fail", 3)],
)
def test_a_final_failure_frees_the_one_hold(
    bank: Bank, redis: Redis, task: str, step: str, times: int
) -> None:
    sent = getattr(tasks, task).delay(bank.account, [step])

    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever the task ends with
        result_of(sent)
    assert type(caught.value).__name__ in ("Wrong", "MaxRetriesExceededError")
    assert runs(redis, sent) == times
    eventually("the hold is voided", lambda: bank.holds() == VOIDED)
    assert bank.balance() == OPENING
    assert bank.proxy.count("void") == 1


def test_a_killed_process_hands_its_hold_on(
    bank: Bank, redis: Redis, worker: WorkerProcess
) -> None:
    sent = tasks.work.delay(bank.account, ["kill the process", "ok"])

    assert result_of(sent) == "ok"
    assert runs(redis, sent) == 2
    assert bank.holds() == PAID


@pytest.mark.usefixtures("worker")
def test_too_little_credit_fails_the_task_for_good_and_it_does_not_run(
    bank: Bank, redis: Redis
) -> None:
    bank.client.charge_credits(bank.account, OPENING - PRICE + 1)
    sent = tasks.work.delay(bank.account, ["ok"])

    with pytest.raises(NotEnoughCredit) as caught:
        result_of(sent)
    # With all that it tells, out of the result backend
    assert (caught.value.needed, caught.value.available) == (PRICE, PRICE - 1)
    assert runs(redis, sent) == 0
    assert bank.holds() == []
    assert bank.proxy.count("place") == 1
    # Unless it asks to be retried on that
    with pytest.raises(NotEnoughCredit):
        result_of(tasks.stubborn.delay(bank.account, ["ok"]))
    assert bank.proxy.count("place") == 1 + 3


@pytest.mark.usefixtures("worker")
def test_an_api_that_cannot_be_reached_is_an_error_to_retry_on(bank: Bank, redis: Redis) -> None:
    bank.proxy.lose("place", times=2)
    at_once = tasks.work.delay(bank.account, ["ok"])
    with pytest.raises(Unreachable):
        result_of(at_once)
    assert bank.holds() == [("open", PRICE, 0)]  # nobody could know; it frees itself

    bank.proxy.lose("place", times=2)
    sent = tasks.stubborn.delay(bank.account, ["ok"])
    assert result_of(sent) == "ok"
    assert runs(redis, sent) == 1
    assert bank.holds()[1:] == PAID


@pytest.mark.usefixtures("worker")
def test_a_capture_whose_answer_was_lost_is_not_done_twice(bank: Bank, redis: Redis) -> None:
    bank.proxy.lose("capture", times=2)
    sent = tasks.stubborn.delay(bank.account, ["ok", "again"])

    assert result_of(sent) == "again"
    assert runs(redis, sent) == 2
    assert bank.holds() == PAID
    assert bank.balance() == OPENING - PRICE


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("steps", "times", "holds"),
    [
        (["requeue", "ok"], 2, PAID),
        (["reject"], 1, VOIDED),
        (["ignore"], 1, VOIDED),
        (["replace"], 1, [("voided", PRICE, 0), ("captured", 5, 5)]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_message_that_comes_again_keeps_its_hold_and_one_that_is_over_frees_it(
    bank: Bank, redis: Redis, steps: list[str], times: int, holds: list[tuple[object, ...]]
) -> None:
    sent = tasks.work.delay(bank.account, steps)

    eventually("all is settled", lambda: bank.holds() == holds)
    assert runs(redis, sent) == times


@pytest.mark.usefixtures("worker")
def test_a_failure_that_the_task_catches_is_not_charged(bank: Bank) -> None:
    assert result_of(tasks.forgiving.delay(bank.account, ["fail"])) == "forgiven"
    eventually("the hold is voided", lambda: bank.holds() == VOIDED)
    assert result_of(tasks.forgiving.delay(bank.account, ["ok"])) == "ok"
    assert bank.holds() == VOIDED + PAID


@pytest.mark.usefixtures("worker")
def test_work_whose_result_cannot_be_stored_was_done_and_is_charged(bank: Bank) -> None:
    with pytest.raises(Exception, match="not JSON serializable"):
        result_of(tasks.work.delay(bank.account, ["unreadable"]))
    assert bank.holds() == PAID


@pytest.mark.usefixtures("worker")
def test_a_task_that_takes_too_long_is_not_charged(bank: Bank) -> None:
    with pytest.raises(Exception, match="SoftTimeLimitExceeded"):
        result_of(tasks.slow.delay(bank.account, ["hang"]))
    eventually("the hold is voided", lambda: bank.holds() == VOIDED)


@pytest.mark.usefixtures("worker")
def test_a_hold_whose_time_was_up_between_retries_is_followed_by_another(bank: Bank) -> None:
    sent = tasks.brief.delay(bank.account, ["retry", "ok"])

    assert result_of(sent) == "ok"
    bank.assert_captured_after_expiry()
    assert bank.balance() == OPENING - PRICE


def test_a_hold_that_cannot_be_voided_is_logged_by_its_number_alone(
    bank: Bank, redis: Redis, worker: WorkerProcess
) -> None:
    sent = tasks.work.delay(bank.account, ["wait and fail"])
    eventually("it is held", lambda: bank.holds() == [("open", PRICE, 0)])
    bank.proxy.is_down = True
    redis.set("go", 1)

    with pytest.raises(Wrong):
        result_of(sent)
    eventually("it is logged", lambda: worker.has_logged("could not be voided (Unreachable)"))
    [line] = [line for line in worker.log.splitlines() if "could not be voided" in line]
    assert bank.account not in line
    assert sent.id not in line


def test_a_call_with_wrong_arguments_is_still_refused_where_it_is_made() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'steps'"):
        tasks.work.delay("clinic:42")


def test_over_a_task_it_would_do_nothing_and_is_refused() -> None:
    app = Celery("other", set_as_current=False)
    paid = require_credits(1, client=tasks.client, account="clinic:42")
    with pytest.raises(InvalidRequest, match="put it under @app"):

        @paid
        @app.task  # type: ignore[untyped-decorator]
        def work() -> None:
            """Never run."""

    with pytest.raises(InvalidRequest, match="put it under @app"):
        paid(tasks.work)

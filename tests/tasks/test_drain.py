"""Working the inbox: failures are isolated, lost nudges are found by the sweep."""

from collections.abc import Callable, Sequence

import pytest
from kombu.exceptions import OperationalError
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from db import inbox
from db.inbox import Finished, LeasedEvent
from errors import PermanentError
from tasks import drain as task
from tasks.inbox.handler import BatchOutcome
from tasks.operator_lines import Line
from tasks.plumbing import nudges
from tests.billing.given import open_account, rows
from tests.tasks.given import deliver, inbox_rows, lead_event, work
from worker.app import app

pytestmark = pytest.mark.usefixtures("database", "redis")


def waiting(redis: Redis) -> int:
    return int(redis.llen("leads"))


def all_done(events: Sequence[LeasedEvent]) -> BatchOutcome:
    outcome = BatchOutcome(events)
    for event in events:
        outcome.finish(event, Finished("done", outcome="fine"))
    return outcome


class Grumpy:
    """A handler that raises whenever a batch holds the word `bad`."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.batches: list[int] = []

    def __call__(self, session: Session, events: Sequence[LeasedEvent]) -> BatchOutcome:
        self.batches.append(len(events))
        if any(b"bad" in event.body for event in events):
            raise self.error
        return all_done(events)


@pytest.fixture
def use_handler(monkeypatch: pytest.MonkeyPatch) -> Callable[[Grumpy], Grumpy]:
    def use(handler: Grumpy) -> Grumpy:
        monkeypatch.setitem(task.HANDLERS, "test", handler)
        return handler

    return use


def test_a_row_whose_handling_raises_is_isolated_and_the_others_go_through(
    use_handler: Callable[[Grumpy], Grumpy],
) -> None:
    handler = use_handler(Grumpy(RuntimeError("a bug")))
    deliver(*[b"good"] * 10, b"bad", *[b"good"] * 10, source="test")
    work("test")
    # The culprit waits for its next attempt; everybody else is done.
    assert [row[0] for row in inbox_rows()] == ["done"] * 10 + ["pending"] + ["done"] * 10
    # The text of an error that is not ours may repeat what was sent: its kind and place do not.
    assert str(inbox_rows()[10][3]).startswith(
        "RuntimeError in __call__ (tests/tasks/test_drain.py"
    )
    assert handler.batches[0] == 21
    assert handler.batches.count(1) >= 1
    assert len(handler.batches) <= 14


def test_a_permanent_error_is_dead_as_soon_as_its_row_is_alone(
    use_handler: Callable[[Grumpy], Grumpy],
) -> None:
    use_handler(Grumpy(PermanentError("never")))
    deliver(b"good", b"bad", b"good", source="test")
    work("test")
    assert [row[0] for row in inbox_rows()] == ["done", "dead", "done"]


def test_nothing_of_a_failed_batch_stays_in_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    open_account(credits_=1_000)
    charge = task.HANDLERS["leads"]

    def charge_and_fail(session: Session, events: Sequence[LeasedEvent]) -> BatchOutcome:
        charge(session, events)
        raise RuntimeError("after the charge")

    monkeypatch.setitem(task.HANDLERS, "leads", charge_and_fail)
    deliver(lead_event())
    work()
    assert rows("SELECT count(*) FROM lead_charges") == [(0,)]
    assert inbox_rows()[0][0] == "pending"


def test_the_attempt_is_on_record_before_the_work_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[object, ...]] = []

    def look_from_outside(session: Session, events: Sequence[LeasedEvent]) -> BatchOutcome:
        seen.extend(rows("SELECT attempts, lease_size FROM inbound_events"))
        return all_done(events)

    monkeypatch.setitem(task.HANDLERS, "test", look_from_outside)
    deliver(b"one", source="test")
    work("test")
    assert seen == [(1, 1)]


def test_nothing_is_logged_of_work_that_was_not_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def end_too_few(session: Session, events: Sequence[LeasedEvent]) -> BatchOutcome:
        outcome = BatchOutcome(events)
        outcome.log([Line("Credit deduction: Clinic 42, Amount 180")])
        return outcome

    monkeypatch.setitem(task.HANDLERS, "test", end_too_few)
    deliver(b"one", source="test")
    with capture_logs() as logs:
        work("test")
    assert "Credit deduction" not in str(logs)
    assert inbox_rows()[0][0] == "pending"


def test_a_drain_out_of_time_hands_over_to_another(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "DRAIN_SECONDS", 0)
    task.drain.run("leads")
    assert waiting(redis) == 1


def test_a_nudge_that_was_lost_holds_nobody_back_for_long(redis: Redis) -> None:
    nudges.send("leads")
    assert 0 < int(redis.ttl("billing:nudge:leads")) <= nudges.STANDS_SECONDS


def test_a_nudge_that_could_not_be_sent_holds_nobody_back(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("the broker is away")

    with monkeypatch.context() as patch:
        patch.setattr(app, "send_task", refuse)
        assert nudges.send("leads") is False
    assert nudges.send("leads") is True


def test_nudges_of_one_source_are_coalesced_into_one_plain_list_entry(redis: Redis) -> None:
    assert [nudges.send("leads") for _ in range(5)] == [True, False, False, False, False]
    assert waiting(redis) == 1
    nudges.acknowledge("leads")
    assert nudges.send("leads")
    assert waiting(redis) == 2


def test_a_drain_handles_everything_and_then_a_new_nudge_can_be_sent(redis: Redis) -> None:
    open_account(credits_=1_000)
    deliver(lead_event())
    nudges.send("leads")
    task.drain.run("leads")
    assert inbox_rows()[0][:2] == ("done", "charged")
    assert nudges.send("leads")


def test_the_sweep_nudges_what_is_due_and_only_that(redis: Redis) -> None:
    task.sweep.run()
    assert redis.llen("schedule") == 0
    deliver(lead_event())
    for _ in range(2):
        task.sweep.run()
    assert redis.llen("schedule") == 1


def test_the_sweep_does_not_wait_for_a_nudge_that_stands_behind_a_crowd(redis: Redis) -> None:
    deliver(lead_event())
    assert nudges.send("leads")
    task.sweep.run()
    assert (waiting(redis), redis.llen("schedule")) == (1, 1)
    task.drain.run("leads")
    assert nudges.send("leads")
    assert nudges.send("leads", by_sweep=True)


def test_a_full_batch_calls_for_a_second_worker(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "BATCH_SIZE", 2)
    open_account(credits_=10_000)
    deliver(*[lead_event(f"L-{i}") for i in range(5)])
    task.drain.run("leads")
    assert waiting(redis) == 1
    assert {row[:2] for row in inbox_rows()} == {("done", "charged")}


def test_without_redis_a_nudge_is_not_sent_and_nothing_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nudges, "_redis", Redis(port=1, retry=Retry(NoBackoff(), 0)))
    assert nudges.send("leads") is False
    nudges.acknowledge("leads")


def test_time_limits_fit_into_one_another() -> None:
    conf = app.conf
    limits = [
        task.DRAIN_SECONDS,
        conf.task_soft_time_limit,
        conf.task_time_limit,
        # Else a message comes back to the queue while its task still runs.
        conf.broker_transport_options["visibility_timeout"] - conf.worker_soft_shutdown_timeout,
    ]
    assert limits == sorted(limits)
    assert app.conf.beat_schedule["sweep the inbox"]["schedule"] < nudges.STANDS_SECONDS


def test_every_task_of_beat_exists_and_goes_to_a_known_queue() -> None:
    app.loader.import_default_modules()
    queues = {queue.name for queue in app.conf.task_queues}
    for entry in app.conf.beat_schedule.values():
        assert entry["task"] in app.tasks
        assert app.conf.task_routes[entry["task"]]["queue"] in queues
    assert {nudges.queue_of(source) for source in task.HANDLERS} <= queues

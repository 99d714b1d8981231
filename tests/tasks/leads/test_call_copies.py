"""Copies of calls: recorded when they are old, once, whatever they hold; then removed."""

import json
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import clock
from tasks.inbox import recorder
from tasks.leads import call_copies, calls
from tasks.leads import door as leads
from tasks.plumbing import nudges
from tests.billing.given import balance, open_account, rows
from tests.stack_process import eventually
from tests.tasks.given import inbox_rows, work
from worker import redaction

pytestmark = pytest.mark.usefixtures("database", "redis")

LEAD = {"lead_id": "L-1", "account": "clinic:42", "package_price_paise": 600_000}


@pytest.fixture(autouse=True)
def clinic(database: str) -> None:
    open_account(credits_=200_000)


def keep(redis: Redis, task_id: str = "call-1", *, age_seconds: float = 61, **entry: Any) -> None:
    """Put a copy into Redis as a client does, or spoiled."""
    at = clock.now().timestamp() - age_seconds
    whole = {"id": task_id, "task": "tasks.leads.charge", "kwargs": LEAD, "at": at, **entry}
    redis.hset(call_copies.KEY, f"{task_id}:digest", json.dumps(whole))


def test_an_old_copy_is_charged_and_removed_and_a_young_one_left(redis: Redis) -> None:
    keep(redis)
    keep(redis, "call-2", age_seconds=50)

    leads.recover.run()

    assert redis.hkeys(call_copies.KEY) == [b"call-2:digest"]
    work("lead_calls")
    assert rows("SELECT event_id, outcome FROM inbound_events") == [("call-1", "charged")]
    eventually("a nudge is sent", lambda: redis.llen(nudges.queue_of("lead_calls")) == 1)


def test_a_copy_grows_old(redis: Redis) -> None:
    keep(redis, age_seconds=0)
    leads.recover.run()
    assert inbox_rows() == []

    with clock.frozen(clock.now() + timedelta(seconds=61)):
        leads.recover.run()

    assert len(inbox_rows()) == 1


def test_a_message_that_arrives_after_its_copy_was_recorded_is_the_same_delivery(
    redis: Redis,
) -> None:
    many = {"leads": [{**LEAD, "lead_id": f"L-{number}"} for number in range(3)]}
    keep(redis, task="tasks.leads.charge_many", kwargs=many)
    leads.recover.run()
    recorder.record(calls.read("tasks.leads.charge_many", "call-1", (), many))
    work("lead_calls")

    assert [row[1] for row in inbox_rows()] == ["charged"] * 3
    assert balance() == 200_000 - 3 * 180


def test_calls_that_share_a_task_id_have_a_copy_and_a_row_each(redis: Redis) -> None:
    other = {**LEAD, "lead_id": "L-2"}
    call = {"id": "order-7", "task": "tasks.leads.charge", "at": 0}
    redis.hset(call_copies.KEY, "order-7:a", json.dumps({**call, "kwargs": LEAD}))
    redis.hset(call_copies.KEY, "order-7:b", json.dumps({**call, "kwargs": other}))
    # When one of the messages has arrived, and the other was lost
    recorder.record(calls.read("tasks.leads.charge", "order-7", (), LEAD))
    leads.recover.run()
    work("lead_calls")

    assert [row[1] for row in inbox_rows()] == ["charged"] * 2
    assert rows("SELECT DISTINCT event_id FROM inbound_events") == [("order-7",)]
    assert balance() == 200_000 - 2 * 180


def test_a_copy_whose_id_is_free_text_is_recorded_as_a_worker_would_have(redis: Redis) -> None:
    keep(redis, "Asha Rao +91 98765 43210")
    leads.recover.run()
    expected = redaction.task_id("Asha Rao +91 98765 43210")
    assert rows("SELECT event_id FROM inbound_events") == [(expected,)]


@pytest.mark.parametrize(
    "spoiled",
    [
        {"task": "tasks.inbox.drain"}, {"task": None}, {"task": []}, {"kwargs": [1]},
        {"kwargs": None}, {"id": None}, {"id": 5}, {"at": "yesterday"}, {"at": None}, {"at": True},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_copy_is_one_dead_row_and_gone(redis: Redis, spoiled: dict[str, Any]) -> None:
    keep(redis, age_seconds=0, **spoiled)
    keep(redis, "call-2")

    leads.recover.run()
    work("lead_calls")

    assert redis.hlen(call_copies.KEY) == 0
    dead, charged = sorted(inbox_rows(), key=str)
    assert dead[0] == "dead"
    assert dead[3] == "UnreadableCopy: the copy of a call is no call"
    assert charged[:2] == ("done", "charged")


@pytest.mark.parametrize("value", [b"", b"\xff\x00", b"[" * 100_000, b"null", b'{"at": 1e999}'])
@pytest.mark.parametrize("name", [b"call-1", b"\xff\x00", b"x" * 5_000])
def test_garbage_in_the_hash_is_one_dead_row_and_gone(
    redis: Redis, name: bytes, value: bytes
) -> None:
    redis.hset(call_copies.KEY, name, value)

    leads.recover.run()

    assert redis.hlen(call_copies.KEY) == 0
    assert [row[0] for row in inbox_rows()] == ["dead"]


@pytest.mark.parametrize("at", [float("nan"), float("inf"), -(10**400), 10**400, 0])
def test_a_time_that_is_none_makes_a_copy_old(redis: Redis, at: float) -> None:
    keep(redis, at=at)
    leads.recover.run()
    assert redis.hlen(call_copies.KEY) == 0
    assert len(inbox_rows()) == 1


def test_a_copy_whose_call_is_refused_is_dead_with_the_calls_reason(redis: Redis) -> None:
    keep(redis, kwargs={**LEAD, "sorce": "typo"})
    leads.recover.run()
    assert "RefusedCall: 1 unknown arguments" in str(inbox_rows()[0][3])


def test_many_copies_are_recorded_in_one_recovery(redis: Redis) -> None:
    for number in range(1_500):
        keep(redis, f"call-{number}", kwargs={**LEAD, "lead_id": f"L-{number}"})
    leads.recover.run()
    assert redis.hlen(call_copies.KEY) == 0
    assert rows("SELECT count(*) FROM inbound_events") == [(1_500,)]


def test_without_redis_nothing_is_raised_when_copies_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(call_copies, "_redis", Redis(port=1, retry=Retry(NoBackoff(), 0)))
    call_copies._remove_all({"call-1", "\ud800"})

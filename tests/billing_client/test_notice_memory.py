"""What is remembered of notices, in a process and in Redis: the same rules, one at a time."""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from time import sleep

import pytest
from redis import Redis

from billing.topics import CATALOGUE, Topic
from billing_client.notice_memory import (
    STATES,
    InProcessMemory,
    Memory,
    RedisMemory,
    State,
    Turn,
    state_of,
)
from billing_client.notice_types import TYPES
from billing_client.notices import notice_of
from tests.billing_client.notice_world import TOPICS, example


@pytest.fixture(params=["process", "redis", "redis of texts"])
def memory(request: pytest.FixtureRequest) -> Iterator[Memory]:
    if request.param == "process":
        yield InProcessMemory()
        return
    request.getfixturevalue("redis")
    texts = request.param == "redis of texts"
    with Redis.from_url(os.environ["REDIS_URL"], decode_responses=texts) as redis:
        yield RedisMemory(redis)


def balance(sequence: int, account: str = "clinic:42") -> State:
    return State(f"balance of {account}", sequence, drops=True, sets=True)


def handled(memory: Memory, notice_id: str, state: State | None) -> Turn:
    turn = memory.begin(notice_id, state)
    if turn is Turn.HANDLE:
        memory.finish(notice_id, state)
    return turn


def test_a_notice_has_its_turn_once(memory: Memory) -> None:
    assert handled(memory, "ntc_1", None) is Turn.HANDLE
    assert handled(memory, "ntc_1", None) is Turn.REPEAT
    assert handled(memory, "ntc_2", None) is Turn.HANDLE


def test_what_is_being_handled_comes_again_later(memory: Memory) -> None:
    assert memory.begin("ntc_1", None) is Turn.HANDLE
    assert memory.begin("ntc_1", None) is Turn.BUSY
    memory.give_up("ntc_1", None)
    assert memory.begin("ntc_1", None) is Turn.HANDLE


def test_an_older_state_of_the_same_account_is_stale(memory: Memory) -> None:
    assert handled(memory, "ntc_5", balance(5)) is Turn.HANDLE
    assert handled(memory, "ntc_4", balance(4)) is Turn.STALE
    assert handled(memory, "ntc_x", balance(5)) is Turn.STALE
    assert handled(memory, "ntc_6", balance(6)) is Turn.HANDLE
    assert handled(memory, "ntc_3", balance(3, "clinic:43")) is Turn.HANDLE
    assert handled(memory, "ntc_5", balance(5)) is Turn.REPEAT


def test_two_notices_of_a_state_are_not_handled_at_once(memory: Memory) -> None:
    # Given a handler that still writes that the balance is low
    assert memory.begin("ntc_5", balance(5)) is Turn.HANDLE
    # When the news that it recovered comes, it waits: the older one would be written over it
    assert memory.begin("ntc_6", balance(6)) is Turn.BUSY
    assert memory.begin("ntc_7", balance(7, "clinic:43")) is Turn.HANDLE
    # And what waited goes on when the other one failed, or ended
    memory.give_up("ntc_5", balance(5))
    assert handled(memory, "ntc_6", balance(6)) is Turn.HANDLE
    assert handled(memory, "ntc_5", balance(5)) is Turn.STALE


def test_a_state_that_was_not_handled_makes_nothing_stale(memory: Memory) -> None:
    assert memory.begin("ntc_6", balance(6)) is Turn.HANDLE
    memory.give_up("ntc_6", balance(6))
    assert handled(memory, "ntc_5", balance(5)) is Turn.HANDLE


def test_a_fact_that_sets_a_state_is_never_stale_and_a_reminder_sets_none(memory: Memory) -> None:
    def plan(sequence: int, *, drops: bool, sets: bool) -> State:
        return State("plan of clinic:42", sequence, drops, sets)

    assert handled(memory, "ntc_9", plan(9, drops=True, sets=True)) is Turn.HANDLE
    assert handled(memory, "ntc_8", plan(8, drops=False, sets=True)) is Turn.HANDLE
    assert handled(memory, "ntc_7", plan(7, drops=True, sets=False)) is Turn.STALE
    # The late fact has not turned the clock back
    assert handled(memory, "ntc_x", plan(9, drops=True, sets=True)) is Turn.STALE
    assert handled(memory, "ntc_11", plan(11, drops=True, sets=False)) is Turn.HANDLE
    assert handled(memory, "ntc_10", plan(10, drops=True, sets=True)) is Turn.HANDLE


def test_of_many_who_begin_at_once_one_has_the_turn(memory: Memory) -> None:
    with ThreadPoolExecutor(8) as threads:
        turns = Counter(threads.map(lambda _: memory.begin("ntc_1", balance(1)), range(40)))
    assert turns == {Turn.HANDLE: 1, Turn.BUSY: 39}


def test_the_memory_of_a_process_is_bounded() -> None:
    memory = InProcessMemory(size=3)
    for number in range(5):
        handled(memory, f"ntc_{number}", balance(number + 1, f"clinic:{number}"))
    assert [memory.begin(f"ntc_{n}", None).name for n in range(5)] == [
        "HANDLE", "HANDLE", "REPEAT", "REPEAT", "REPEAT",
    ]  # fmt: skip
    assert memory.begin("ntc_x", balance(1, "clinic:0")) is Turn.HANDLE
    assert memory.begin("ntc_y", balance(1, "clinic:4")) is Turn.STALE


def test_what_a_killed_process_had_begun_has_its_turn_after_the_lease(redis: Redis) -> None:
    memory = RedisMemory(redis, lease=timedelta(seconds=1))
    memory.begin("ntc_1", balance(1))
    other = RedisMemory(redis)
    assert other.begin("ntc_1", balance(1)) is Turn.BUSY
    sleep(1.1)
    assert other.begin("ntc_1", balance(1)) is Turn.HANDLE


def test_redis_forgets_by_itself_and_holds_nothing_of_a_notice_but_its_numbers(
    redis: Redis,
) -> None:
    memory = RedisMemory(redis, kept_for=timedelta(hours=2))
    handled(memory, "ntc_1", balance(17))
    memory.begin("ntc_2", balance(18, "clinic:43"))
    kept = {key.decode(): redis.get(key) for key in redis.scan_iter("*billing-notices*")}
    assert kept == {
        "{billing-notices}:notice:ntc_1": b"handled",
        "{billing-notices}:newest:balance of clinic:42": b"17",
        "{billing-notices}:notice:ntc_2": b"busy",
        "{billing-notices}:busy:balance of clinic:43": b"{billing-notices}:notice:ntc_2",
    }
    lives = {key: redis.ttl(key) for key in kept}
    # How new a state is outlives the notice: what was missed may be replayed much later
    newest = lives.pop("{billing-notices}:newest:balance of clinic:42")
    assert timedelta(days=89) < timedelta(seconds=newest) <= timedelta(days=90)
    assert all(0 < seconds <= 7_200 for seconds in lives.values())
    assert lives["{billing-notices}:notice:ntc_2"] <= 60


def test_each_topic_is_a_state_or_a_fact_and_a_new_one_is_thought_about() -> None:
    """A topic that the catalogue gains is named here, and its choice made."""
    facts = {
        "lead.charged", "lead.parked", "lead.released", "lead.cancelled", "lead.refunded",
        "lead.conflict", "lead.refused", "dispute.opened", "dispute.resolved",
        "payment.captured", "payment.partially_refunded", "payment.failed", "refund.requested",
        "refund.submitted", "refund.unknown", "refund.processed", "refund.failed",
        "chargeback.open", "chargeback.won", "chargeback.lost", "chargeback.closed",
        "endpoint.test",
    }  # fmt: skip
    assert facts.isdisjoint(STATES)
    assert facts | {*STATES} == {*TYPES} == {*TOPICS}


@pytest.mark.parametrize("topic", TOPICS, ids=str)
def test_a_state_is_named_by_its_account(topic: str) -> None:
    content = {"type": topic, "timestamp": "2026-11-30T12:00:00Z", "data": example(topic)}
    state = state_of(notice_of("ntc_1", content))
    if topic not in STATES:
        assert state is None
        return
    assert state is not None
    account = CATALOGUE[Topic(topic)].example["account"]
    assert state.key in {f"balance of {account}", f"plan of {account}"}
    assert state.sequence == CATALOGUE[Topic(topic)].example["sequence"]

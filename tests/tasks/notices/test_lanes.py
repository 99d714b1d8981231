"""Lanes of calls: one after the other until one fails, each lane in a thread that may hang."""

import time
from collections.abc import Iterator
from datetime import timedelta
from threading import Event
from uuid import uuid4

import pytest

import clock
from billing.notices import Attempted, Due, Lane
from notify.http import Allowed, Sender
from tasks.notices.lanes import Gathered, Lanes, Left
from tests.tasks.notices.platforms import Platforms, listening

SECRET = "whsec_" + "bmV3LW5ldy1uZXctbmV3LW5ldy1uZXct"


@pytest.fixture
def platforms() -> Iterator[Platforms]:
    with listening() as opened:
        yield opened


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    with Sender(Allowed(loopback=True)) as sender:
        yield Lanes(sender)


def lane(url: str, *notice_ids: int, seconds: float = 30) -> Lane:
    now = clock.now()
    return Lane(
        endpoint_id=1, url=url, secrets=(SECRET,), lease_id=uuid4(),
        leased_until=now + timedelta(seconds=60), start_until=now + timedelta(seconds=seconds),
        ordered=False, troubled=False,
        deliveries=[Due(100 + n, n, b'{"data":{"n":%d}}' % n, 1) for n in notice_ids],
    )  # fmt: skip


def all_of(lanes: Lanes) -> Gathered:
    """What comes until all lanes have ended."""
    attempts: list[Attempted] = []
    ended: list[Left] = []
    while lanes.count:
        gathered = lanes.gather(seconds=5)
        assert gathered.attempts or gathered.ended
        attempts += gathered.attempts
        ended += gathered.ended
    return Gathered(attempts, ended)


def test_deliveries_are_called_in_their_order_and_signed(
    platforms: Platforms, lanes: Lanes
) -> None:
    made = lane(platforms.url("a"), 3, 1, 2)
    lanes.begin(made)
    done = all_of(lanes)
    assert platforms.ids() == {"a": ["ntc_3", "ntc_1", "ntc_2"]}
    for call in platforms.received:
        call.verify(SECRET)
    assert [(a.delivery_id, a.number, a.lease_id) for a in done.attempts] == [
        (103, 1, made.lease_id), (101, 1, made.lease_id), (102, 1, made.lease_id),
    ]  # fmt: skip
    assert [left.delivery_ids for left in done.ended] == [[]]


def test_the_first_failure_leaves_the_rest(platforms: Platforms, lanes: Lanes) -> None:
    platforms.behaviours["a"] = lambda call: 500 if call.notice_id == "ntc_2" else 200
    lanes.begin(lane(platforms.url("a"), 1, 2, 3, 4))
    done = all_of(lanes)
    assert [a.answer.status for a in done.attempts] == [200, 500]
    assert [left.delivery_ids for left in done.ended] == [[103, 104]]


def test_no_call_begins_too_late_for_its_lease_or_after_the_stop(
    platforms: Platforms, lanes: Lanes
) -> None:
    # Given a lane whose time is up, and one that is stopped in its first call
    asked = Event()
    goes_on = Event()

    def wait(_: object) -> int:
        asked.set()
        return 200 if goes_on.wait(5) else 500

    platforms.behaviours["b"] = wait
    lanes.begin(lane(platforms.url("a"), 1, 2, seconds=-0.001))
    lanes.begin(lane(platforms.url("b"), 3, 4))
    assert asked.wait(5)
    lanes.stop()
    goes_on.set()
    # Then the first began nothing, and the second ended with the call that it was in
    done = all_of(lanes)
    assert sorted(list(left.delivery_ids) for left in done.ended) == [[101, 102], [104]]
    assert [a.delivery_id for a in done.attempts] == [103]
    assert platforms.ids() == {"b": ["ntc_3"]}


def test_a_lane_that_hangs_delays_no_other(platforms: Platforms, lanes: Lanes) -> None:
    ends = Event()
    platforms.behaviours["hangs"] = lambda _: 200 if ends.wait(10) else 500
    for number in range(40):
        lanes.begin(lane(platforms.url("hangs"), number))
    began = time.monotonic()
    lanes.begin(lane(platforms.url("a"), 100))
    attempts: list[Attempted] = []
    while not attempts:
        attempts += lanes.gather(seconds=5).attempts
    assert time.monotonic() - began < 3
    assert [a.delivery_id for a in attempts] == [200]
    assert lanes.count in {40, 41}
    ends.set()
    assert len(all_of(lanes).attempts) == 40


def test_nothing_under_way_is_not_waited_for(lanes: Lanes) -> None:
    began = time.monotonic()
    assert lanes.gather(seconds=5) == Gathered([], [])
    assert time.monotonic() - began < 1

"""How notes of requests come to Redis: soon, in batches, and never at the cost of a request."""

import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisAway
from structlog.testing import capture_logs

import clock
import settings
from api import request_writer
from api.request_writer import BATCH, QUEUED, RequestWriter
from service import recent_requests
from service.recent_requests import KEPT_FOR, OF_CALLERS, OF_STRANGERS, RecentRequest
from tests.stack_process import eventually

AT = datetime(2026, 11, 30, 10, tzinfo=UTC)


def request(number: int = 1, *, caller: str | None = "house") -> RecentRequest:
    return RecentRequest(
        at=AT + timedelta(seconds=number), request_id=f"req_{number:08}", method="GET",
        route="/v1/accounts/{ref}", status=200, duration_ms=1.5, caller=caller,
    )  # fmt: skip


def kept(redis: Redis) -> list[str]:
    return [one.request_id for _, one in recent_requests.newest_first(redis)]


class Destination:
    """What a writer writes to: slow or away, as the test wants it."""

    def __init__(self) -> None:
        self.away: Exception | None = None
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.batches: list[int] = []
        self.written: list[str] = []

    def write(self, batch: Sequence[RecentRequest]) -> None:
        self.may_go_on.wait(10)
        self.batches.append(len(batch))
        if self.away is not None:
            raise self.away
        self.written += [one.request_id for one in batch]


@pytest.fixture
def there() -> Destination:
    return Destination()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_writer, "AWAY_SECONDS", 0.05)
    monkeypatch.setattr(request_writer, "PAUSE_SECONDS", 0.05)


def test_a_lone_note_is_written_at_once(there: Destination) -> None:
    RequestWriter(there.write).note(request())

    eventually("it is written", lambda: there.written == ["req_00000001"], seconds=5)


def test_under_load_one_exchange_carries_many(there: Destination) -> None:
    writer = RequestWriter(there.write)
    there.may_go_on.clear()
    for number in range(QUEUED // 2):
        writer.note(request(number))
    there.may_go_on.set()

    eventually("all are written", lambda: len(there.written) == QUEUED // 2)

    assert len(there.batches) <= 2 + QUEUED // 2 // BATCH
    assert there.written == [f"req_{number:08}" for number in range(QUEUED // 2)]


# Slow: a flood has many notes, and each allocation is traced.
def test_a_flood_takes_no_more_memory_than_the_queue_and_no_time(there: Destination) -> None:
    # Given a Redis that hangs
    there.may_go_on.clear()
    writer = RequestWriter(there.write)
    writer.note(request())
    tracemalloc.start()

    # When fifty times as many requests come as the queue holds
    began = time.perf_counter()
    for number in range(50 * QUEUED):
        writer.note(request(number))
    seconds = time.perf_counter() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    # Then the newest wait, the others are counted, and nobody has waited
    with capture_logs() as lines:
        there.may_go_on.set()
        eventually("the newest are written", lambda: len(there.written) >= QUEUED)
        eventually("the others are counted", lambda: lines)
    assert there.written[-1] == f"req_{50 * QUEUED - 1:08}"
    assert lines[0]["event"] == "requests not noted"
    assert lines[0]["requests"] + len(there.written) == 50 * QUEUED + 1
    assert peak < 2_000_000
    assert seconds / (50 * QUEUED) < 0.000_5  # with tracing; a wait would be a second


@pytest.mark.parametrize(
    ("error", "said"),
    [(RedisAway(), "ConnectionError"), (ValueError("an odd answer"), "ValueError")],
)
def test_while_redis_is_away_one_line_says_how_many_were_lost(
    there: Destination, error: Exception, said: str
) -> None:
    there.away = error
    writer = RequestWriter(there.write)

    with capture_logs() as lines:
        for number in range(20):
            writer.note(request(number))
            time.sleep(0.02)
        there.away = None
        writer.note(request(99))
        eventually("notes are written again", lambda: "req_00000099" in there.written)

    [line] = [line for line in lines if line["event"] == "requests not noted"]
    assert line["error"] == said
    assert line["log_level"] == "warning"


def test_as_many_are_kept_as_may_be(redis: Redis) -> None:
    for first in range(0, 1_000, 250):
        batch = [request(number) for number in range(first, first + 250)]
        recent_requests.append(redis, batch, kept=300, now=clock.real_now())

    assert kept(redis) == [f"req_{number:08}" for number in reversed(range(700, 1_000))]


def test_strangers_drive_out_only_each_other(redis: Redis) -> None:
    now = clock.real_now()
    recent_requests.append(redis, [request(1)], kept=300, now=now)
    crowd = [request(number, caller=None) for number in range(100, 1_100)]
    recent_requests.append(redis, crowd, kept=300, now=now)
    recent_requests.append(redis, [request(2)], kept=300, now=now)

    found = kept(redis)

    assert len(found) == 30 + 2
    assert (found[0], found[-1]) == ("req_00000002", "req_00000001")


def test_the_oldest_go_after_a_week_and_all_of_them_if_nothing_comes(redis: Redis) -> None:
    now = clock.real_now()
    old = int((now - KEPT_FOR - timedelta(minutes=1)).timestamp() * 1000)
    redis.xadd(OF_CALLERS, {"request": "{}"}, id=f"{old}-0")

    recent_requests.append(redis, [request(2)], kept=300, now=now)

    assert redis.xlen(OF_CALLERS) == 1
    assert 0 < int(str(redis.ttl(OF_CALLERS))) <= KEPT_FOR.total_seconds()


def test_pages_of_both_streams_have_no_gap_and_no_repeat(redis: Redis) -> None:
    # Given entries of both streams, some of them with the same id
    for number in range(40):
        for stream, offset in ((OF_CALLERS, 0), (OF_STRANGERS, 500)):
            one = recent_requests._encoded(request(number + offset))
            redis.xadd(stream, {"request": one}, id=f"{1_000 + number // 3}-{number % 3}")

    # When they are read in pages of each size
    whole = kept(redis)
    for size in (1, 3, 7):
        paged: list[str] = []
        after = None
        while True:
            page = [
                entry
                for entry, _ in zip(
                    recent_requests.newest_first(redis, after=after), range(size), strict=False
                )
            ]
            if not page:
                break
            paged += [one.request_id for _, one in page]
            text = recent_requests.written(page[-1][0])
            after = recent_requests.position_of(text)
        # Then each comes once, in one order
        assert paged == whole
    assert len(set(whole)) == 80


def test_an_entry_that_is_none_of_ours_is_left_out(redis: Redis) -> None:
    for content in ("", "x", "[]", "{}", '{"at": "yesterday"}', '{"at": 5}'):
        redis.xadd(OF_CALLERS, {"request": content})
    redis.xadd(OF_CALLERS, {"other": "x"})
    recent_requests.append(redis, [request(1)], kept=300, now=clock.real_now())

    assert kept(redis) == ["req_00000001"]


CHILD = """
    import os, sys
    from datetime import UTC, datetime
    from api import request_writer
    from service.recent_requests import RecentRequest

    writer = request_writer.to_redis(10_000)

    def note(name, count):
        for number in range(count):
            writer.note(RecentRequest(
                at=datetime.now(UTC), request_id=f"{name}-{number:06}", method="GET", route=None,
                status=200, duration_ms=1.0, caller="house"))

    note("parent-1", 1)
    if os.fork() == 0:
        note("forked-2", 300)
        sys.exit()
    note("parent-1", 300)
    os.wait()
"""


def test_two_processes_write_into_one_stream_and_what_waits_at_their_end(redis: Redis) -> None:
    # Given a process that has begun to write, and a fork of it
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHILD)],
        cwd=settings.PROJECT_DIR, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    # Then all that both noted is there, though both ended at once
    assert (done.returncode, done.stderr) == (0, "")
    found = kept(redis)
    assert sum(name.startswith("parent-1") for name in found) == 301
    assert sum(name.startswith("forked-2") for name in found) == 300

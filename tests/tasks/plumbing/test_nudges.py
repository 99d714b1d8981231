"""What is logged while Redis is away."""

from collections.abc import Iterator

import pytest
import structlog
from redis import Redis
from structlog.testing import capture_logs

from devstack import ports
from service import redis_url
from settings import redis_url as addresses
from tasks.plumbing import nudges


@pytest.fixture
def _no_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    address = addresses.read(f"redis://{ports.HOST}:{ports.find_free()}/0")
    client = redis_url.connect(address, timeout_seconds=1)
    monkeypatch.setattr(nudges, "_redis", client)
    for line in ("sent", "cleared"):
        monkeypatch.setattr(nudges, f"_not_{line}", nudges.Throttled(f"nudge not {line}"))
    monkeypatch.setattr(nudges, "log", structlog.get_logger())
    yield client
    client.close()


@pytest.mark.usefixtures("_no_redis")
def test_nudges_that_cannot_be_sent_are_one_line_with_a_count() -> None:
    with capture_logs() as lines:
        for _ in range(136):
            assert not nudges.send("leads")
        nudges.acknowledge("leads")
    assert [(line["event"], line["times"]) for line in lines] == [
        ("nudge not sent", 1), ("nudge not cleared", 1),
    ]  # fmt: skip
    assert {line["error"] for line in lines} == {"ConnectionError"}


@pytest.mark.usefixtures("_no_redis")
def test_the_next_line_counts_those_that_were_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000.0]
    monkeypatch.setattr("tasks.plumbing.nudges.time.monotonic", lambda: now[0])
    line = nudges.Throttled("nudge not sent")
    with capture_logs() as lines:
        for _ in range(136):
            line.note("leads", OSError())
        now[0] += nudges.SILENT_SECONDS
        line.note("stripe", redis_url.RedisCluster())
    assert [found["times"] for found in lines] == [1, 136]
    assert lines[1]["error"].startswith("REDIS_URL names a node of a Redis Cluster")

"""The task that sends notices: what is due is sent once, tried again, or handed on."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

import clock
from billing import notices
from db import deliveries, outbox
from db.deliveries import NewEvent
from db.outbox import NewNotice
from db.session import transaction
from tasks.notices import deliver as task
from tasks.notices import placing
from tasks.plumbing import nudges
from tests.billing.given import open_account, rows
from tests.billing.notices import given
from tests.tasks.notices.platforms import Platforms, Received

pytestmark = pytest.mark.usefixtures("books", "redis")


def states() -> list[tuple[object, ...]]:
    return list(rows("SELECT state, attempts FROM notice_deliveries ORDER BY id"))


def endpoint(platforms: Platforms, path: str, **more: Any) -> tuple[int, str]:
    """An endpoint of the clinics; its id and its secret."""
    with transaction() as session:
        made = notices.endpoints.add(
            session, url=platforms.url(path), product="clinic_leads", actor="ops", **more
        )
    return made.endpoint_id, made.secret


def waiting(redis: Redis) -> int:
    """How many messages wait for the notices' process."""
    found = redis.llen(nudges.NOTICES)
    assert isinstance(found, int)
    return found


def slowly(seconds: float) -> Callable[[Received], int]:
    def answer(_: Received) -> int:
        time.sleep(seconds)
        return 200

    return answer


def test_what_was_committed_is_sent_once_to_each_endpoint_and_signed(platforms: Platforms) -> None:
    # Given two endpoints, and notices of which some are not to be sent
    account = open_account()
    _, secret = endpoint(platforms, "a")
    endpoint(platforms, "b", topics=("plan.*",))
    with transaction() as session:
        outbox.write(
            session,
            [NewNotice("renewal.reminder", "plan:1", 1, {"plan_id": 1}, superseded=True)],
            now=clock.now(),
        )
    with pytest.raises(ZeroDivisionError), transaction() as session:
        outbox.write(session, [NewNotice("lead.parked", "lead:L-0", 1, {})], now=clock.now())
        raise ZeroDivisionError
    parked: dict[str, Any] = {"lead_id": "L-1", "credits": 180}
    (sent,) = given.write(account, **parked)
    # When they are delivered, twice
    with capture_logs() as lines:
        for _ in range(2):
            task.deliver()
    # Then what was committed and is not superseded came once, where it was asked for
    (call,) = platforms.received
    assert (call.path, call.notice_id) == ("a", f"ntc_{sent}")
    assert call.data == {"account": account, "sequence": 1, **parked}
    call.verify(secret)
    assert states() == [("done", 1)]
    assert [line["event"] for line in lines] == ["notice delivered"]


def test_a_receiver_that_never_takes_it_is_tried_ten_times_and_then_it_is_dead(
    platforms: Platforms, clock_file: Path
) -> None:
    # Given an endpoint that answers 500, and one that works
    account = open_account()
    _, secret = endpoint(platforms, "a")
    endpoint(platforms, "b")
    platforms.behaviours["a"] = lambda _: 500
    given.write(account, lead_id="L-1", credits=180)
    began = clock.now()
    # When time goes on through the whole ladder, an hour at a time after the first steps
    moments: list[timedelta] = []
    for _ in range(120):
        before = len(platforms.at("a"))
        task.deliver()
        if len(platforms.at("a")) > before:
            moments.append(clock.now() - began)
        if states()[0][0] == "dead":
            break
        step = timedelta(hours=1) if len(moments) > 3 else timedelta(minutes=7)
        clock.write_ahead(clock_file, clock.read_ahead(clock_file) + step)
    # Then it was tried ten times in three days, always the same, and is dead
    assert states() == [("dead", 10), ("done", 1)]
    assert len(moments) == 10
    assert timedelta(hours=60) < moments[-1] < timedelta(hours=100)
    calls = platforms.at("a")
    assert len({(call.notice_id, call.body) for call in calls}) == 1
    for call in calls:
        call.verify(secret)
    assert len(platforms.at("b")) == 1
    # And each attempt is there with its reason, and nothing is left in hands
    assert (
        rows("SELECT status, error FROM notice_attempts WHERE delivery_id = 1")
        == [(500, "status 500")] * 10
    )
    assert rows("SELECT 1 FROM notice_lanes WHERE lease_id IS NOT NULL") == []


def test_a_task_whose_time_is_up_hands_on_and_gives_back_what_it_has_not_begun(
    platforms: Platforms, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a slow endpoint with more than one task can do
    monkeypatch.setattr(task, "TAKES_SECONDS", 0.5)
    account = open_account()
    endpoint(platforms, "a")
    platforms.behaviours["a"] = slowly(0.2)
    given.write(*[account] * 8, lead_id="L-1", credits=180)
    # When a task has done its time
    began = time.monotonic()
    task.deliver()
    # Then it has ended with the call that it was in, and another is asked for
    assert time.monotonic() - began < 5
    done = len(platforms.received)
    assert 1 <= done < 8
    assert states() == [("done", 1)] * done + [("pending", 0)] * (8 - done)
    assert waiting(redis) == 1
    # And what it had not begun is due at once
    monkeypatch.undo()
    platforms.behaviours.clear()
    task.deliver()
    assert states() == [("done", 1)] * 8
    assert len({call.notice_id for call in platforms.received}) == len(platforms.received) == 8


def test_a_crowd_of_endpoints_asks_for_another_process(
    platforms: Platforms, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "MOST_LANES", 2)
    account = open_account()
    for path in "abc":
        endpoint(platforms, path)
    given.write(account, lead_id="L-1", credits=180)
    task.deliver()
    assert states() == [("done", 1)] * 3
    assert waiting(redis) == 1


def test_what_happens_while_calls_hang_is_sent_at_once(platforms: Platforms) -> None:
    # Given an endpoint that hangs while a lead is parked
    account = open_account()
    endpoint(platforms, "hangs", topics=("lead.*",))
    endpoint(platforms, "a", topics=("plan.*",))
    ended: list[float] = []

    def hang(_: Received) -> int:
        given.write(account, topic="plan.degraded", plan_id=1)
        time.sleep(1.5)
        ended.append(time.monotonic())
        return 500

    platforms.behaviours["hangs"] = hang
    given.write(account, lead_id="L-1", credits=180)
    # When the task is in that call, then it goes on for others
    task.deliver()
    (call,) = platforms.at("a")
    assert call.at < ended[0]


def test_endpoints_are_reviewed_at_a_tick_and_not_at_every_nudge(
    platforms: Platforms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "_reviewed_at", 0.0)
    reviews = _counted(monkeypatch)
    for _ in range(3):
        task.deliver()
    assert len(reviews) == 1


def _counted(monkeypatch: pytest.MonkeyPatch) -> Sequence[object]:
    """What is noted of each review, which goes on as it is."""
    noted: list[object] = []
    review = notices.review_endpoints

    def noting(session: Session, *, now: datetime) -> bool:
        noted.append(now)
        return review(session, now=now)

    monkeypatch.setattr(notices, "review_endpoints", noting)
    return noted


def test_while_the_inbox_is_behind_notices_are_placed_with_rests(
    platforms: Platforms, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an event that has waited for two seconds
    account = open_account()
    endpoint(platforms, "a")
    monkeypatch.setattr(task, "TAKES_SECONDS", 0.5)
    monkeypatch.setattr(task, "RESTS", 10_000)
    event = NewEvent("leads", "evt_1", b"{}", clock.now() - timedelta(seconds=2))
    with transaction() as session:
        deliveries.record(session, [event])
    given.write(account)
    # When a task places a notice
    task.deliver()
    # Then it is sent, and the tasks rest after it: none is begun for the next one, or places it
    assert states() == [("done", 1)]
    given.write(account)
    redis.delete(nudges.NOTICES)
    assert not nudges.send_notices()
    task.deliver()
    assert states() == [("done", 1)]


def test_a_rest_of_another_task_ends_by_itself(platforms: Platforms) -> None:
    account = open_account()
    endpoint(platforms, "a")
    placing.rest(seconds=0.2)
    given.write(account)
    task.deliver()
    assert states() == []
    # When its time is over
    time.sleep(0.25)
    task.deliver()
    # Then what had come in the meantime is placed and sent, and nobody rests
    assert states() == [("done", 1)]
    assert not placing.is_resting()

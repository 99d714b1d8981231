"""Leases and what comes of calls: lanes, the ladder, health, order, and late results."""

from datetime import timedelta
from typing import Any

import pytest

import clock
from billing import notices, oversight
from billing.notices import Answer
from db.session import transaction
from tests.billing.given import at_once, open_account, rows
from tests.billing.notices.given import (
    BROKEN,
    HANGS,
    OK,
    at,
    call,
    endpoint,
    fan_out,
    ids,
    later,
    lease,
    operators_were_notified_of,
    review,
    send,
    set_web_secrets,
    states,
    until_dead,
    write,
)

pytestmark = pytest.mark.usefixtures("books")


@pytest.fixture(autouse=True)
def clinic(books: None) -> None:
    open_account()


def waiting(count: int = 1, **more: Any) -> int:
    """An endpoint for which so many notices wait."""
    made = endpoint(**more)
    write(*["clinic:42"] * count)
    fan_out()
    return made


# --- lanes ---------------------------------------------------------------------------------------


def test_a_lane_holds_what_a_call_needs() -> None:
    made = waiting()
    (lane,) = lease()
    (due,) = lane.deliveries
    ((notice_id, body),) = rows("SELECT id, body FROM outbox_events")
    assert (lane.endpoint_id, lane.url) == (made, "https://shop.example/notices")
    assert (due.notice_id, due.body, due.attempt_number) == (notice_id, bytes(body), 1)  # type: ignore[call-overload]
    assert lane.secrets[0].startswith("whsec_")
    assert lane.secrets[0] not in repr(lane)


def test_an_endpoint_that_works_has_two_lanes_over_all_processes() -> None:
    waiting(120)
    taken = [lane for lanes in at_once(*[lease] * 4) for lane in lanes]  # type: ignore[attr-defined]
    assert len(taken) == 2
    assert len(set(ids(taken))) == 100
    assert lease() == []


def test_an_endpoint_in_trouble_has_one_lane_that_tries_one_notice() -> None:
    with at():
        waiting(60)
        first, second = lease()
        call(first, BROKEN)
        assert lease() == [], "it is paused"
        later(seconds=1)
        assert lease() == [], "the second lane is still under way"
        call(second, BROKEN)
        later(seconds=2)
        (lane,) = lease()
        assert (len(lane.deliveries), lane.troubled) == (1, True)
        assert lease() == []
        call(lane, OK)
        assert len(lease()) == 2


def test_every_endpoint_gets_a_lane_before_any_gets_its_second() -> None:
    open_account("clinic:1")
    waiting(200)
    quiet = [endpoint(account="clinic:1") for _ in range(5)]
    write("clinic:1")
    fan_out()
    lanes = lease(most_lanes=6)
    assert {lane.endpoint_id for lane in lanes} >= set(quiet)
    assert len(lanes) == 6


def test_endpoints_in_trouble_take_no_more_than_their_share_of_the_lanes() -> None:
    with at():
        made = [endpoint() for _ in range(6)]
        write("clinic:42")
        fan_out()
        for lane in lease():
            call(lane, HANGS if lane.endpoint_id in made[:4] else OK)
        later(seconds=6)
        write("clinic:42")
        fan_out()
        lanes = lease(most_lanes=4)
        assert [lane.endpoint_id in made[:4] for lane in lanes] == [False, False, True, True]
        for lane in lanes:
            call(lane)
        assert len(lease(most_lanes=6, most_troubled=1)) == 3


def test_what_is_given_back_is_due_as_before_and_no_attempt_is_counted() -> None:
    made = waiting(3)
    (lane,) = lease()
    call(lane, OK)
    assert states(made) == [("done", 1), ("pending", 0), ("pending", 0)]
    assert ids(lease()) == [due.notice_id for due in lane.deliveries[1:]]


def test_nothing_is_sent_unsigned_when_the_secret_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with at():
        made = waiting()
        set_web_secrets(monkeypatch, "another-secret-that-was-not-there-before")
        assert lease() == []
        assert states(made) == [("pending", 0)]
        assert operators_were_notified_of() == []
        # And whoever asks how things stand is shown that they wait
        later(minutes=6)
        assert lease() == []
        with transaction() as session:
            found = {one.what: one for one in oversight.look(session, now=clock.now())}
        assert found["notices_waiting"].level is oversight.Level.ATTENTION
        # And a new secret signs at once, also while the lost one would sign too
        with transaction() as session:
            overlap = timedelta(days=1)
            new = notices.endpoints.rotate(session, made, overlap=overlap)
        later(minutes=1)
        (lane,) = lease()
        assert lane.secrets == (new,)


# --- a process that is lost ----------------------------------------------------------------------


def test_what_a_killed_process_had_goes_out_again_under_the_same_id_and_body() -> None:
    with at():
        made = waiting(2)
        (lost,) = lease()
        later(seconds=59)
        assert lease() == []
        later(seconds=1)
        (again,) = lease()
        assert [(d.notice_id, d.body) for d in again.deliveries] == [
            (d.notice_id, d.body) for d in lost.deliveries
        ]
        assert [d.attempt_number for d in again.deliveries] == [2, 1], "one was under way"
        call(lost, BROKEN, BROKEN)  # a late result: its lease has ended
        assert states(made) == [("pending", 1), ("pending", 0)]
        call(again, OK, OK)
        assert states(made) == [("done", 2), ("done", 1)]


def test_a_notice_that_kills_its_process_each_time_is_dead_after_ten() -> None:
    with at():
        made = waiting()
        for _ in range(11):
            lease()
            later(minutes=2)
        assert states(made) == [("dead", 10)]
        assert rows("SELECT count(*), count(DISTINCT number) FROM notice_attempts") == [(10, 10)]


# --- the ladder ----------------------------------------------------------------------------------


def test_a_notice_that_always_fails_is_dead_after_ten_attempts_over_three_days() -> None:
    with at():
        made = waiting()
        begun = clock.now()
        until_dead()
        assert states(made) == [("dead", 10)]
        hours = (clock.now() - begun).total_seconds() / 3600
        assert 60 < hours < 91
        assert rows("SELECT array_agg(number ORDER BY number) FROM notice_attempts") == [
            (list(range(1, 11)),)
        ]


def test_what_waits_while_its_endpoint_is_paused_keeps_its_attempts() -> None:
    with at():
        made = waiting(200)
        calls = 0
        for _ in range(60):
            calls += send(BROKEN)
            later(minutes=1)
        tried = sum(int(str(attempts)) for _, attempts in states(made))
        assert calls == tried < 40, "a dead endpoint is not hammered"
        assert [attempts for _, attempts in states(made)].count(0) > 150
        later(minutes=5)
        (lane,) = lease()
        call(lane, OK)
        assert send(OK) > 150, "one success is enough to go on"


def test_a_receiver_that_names_a_time_is_left_alone_until_then() -> None:
    with at():
        waiting()
        (lane,) = lease()
        call(lane, Answer(429, "answered 429", retry_after=timedelta(hours=3)))
        later(hours=2, minutes=59)
        assert lease() == []
        later(minutes=1)
        assert len(lease()) == 1


# --- health --------------------------------------------------------------------------------------


def test_operators_are_notified_once_that_an_endpoint_fails_and_once_that_it_is_off() -> None:
    with at():
        made = waiting()
        for _ in range(30):
            send(BROKEN)
            review()
            later(hours=5)
        fan_out()
        assert operators_were_notified_of() == ["endpoint.failing", "endpoint.off"]
        ((payload,),) = rows("SELECT payload FROM outbox_events WHERE topic = 'endpoint.off'")
        assert payload == {
            "endpoint_id": made,
            "host": "shop.example",
            "product": "clinic_leads",
            "reason": "no success for five days",
        }
        # And again in the next episode
        with transaction() as session:
            notices.endpoints.enable(session, made)
        write("clinic:42")
        fan_out()
        for _ in range(3):
            send(BROKEN)
            review()
            later(hours=1)
        assert operators_were_notified_of()[2:] == ["endpoint.failing"]


def test_a_success_brings_a_failing_endpoint_back() -> None:
    with at():
        made = waiting()
        send(BROKEN)
        later(hours=2)
        review()
        assert _state(made) == ("failing", "no success for an hour")
        send(OK)
        assert _state(made) == ("on", None)


def test_gone_switches_off_and_skips_what_waits() -> None:
    made = waiting(3)
    (lane,) = lease()
    call(lane, Answer(410, "answered 410"))
    review()
    assert _state(made) == ("off", "it answered 410 Gone")
    assert [state for state, _ in states(made)] == ["skipped"] * 3
    assert operators_were_notified_of() == ["endpoint.off"]


@pytest.mark.parametrize(("answer", "state"), [(OK, "done"), (BROKEN, "skipped")])
def test_an_endpoint_that_is_switched_off_during_a_call(answer: Answer, state: str) -> None:
    made = waiting(2)
    (lane,) = lease()
    with transaction() as session:
        notices.endpoints.disable(session, made, reason="holidays")
    review()
    call(lane, answer)
    review()
    assert states(made) == [(state, 1), ("skipped", 0)]
    assert _state(made) == ("off", "holidays")


def test_a_listener_ends_with_its_lease() -> None:
    with at():
        made = waiting(product=None, lease_until=clock.now() + timedelta(minutes=1))
        with transaction() as session:
            notices.endpoints.renew_lease(session, made, until=clock.now() + timedelta(minutes=2))
        later(minutes=2)
        assert lease() == []
        review()
        assert _state(made) == ("removed", "its lease ended")
        assert states(made) == [("skipped", 0)]
        with pytest.raises(notices.UnknownEndpoint), transaction() as session:
            notices.endpoints.renew_lease(session, made, until=clock.now())


# --- order ---------------------------------------------------------------------------------------


def test_an_ordered_endpoint_gets_the_notices_of_an_account_one_after_the_other() -> None:
    with at():
        open_account("clinic:1")
        made = endpoint(ordered=True)
        write("clinic:42", "clinic:1", "clinic:42", "clinic:42")
        fan_out()
        (lane,) = lease()
        assert not lease()
        notices_of_42 = [ids([lane])[0], *ids([lane])[1:3]]
        call(lane, BROKEN)  # the first one of clinic:42
        write("clinic:42")
        fan_out()
        later(seconds=2)
        # Of clinic:42 nothing is due, of the other account all
        (lane,) = lease()
        assert lane.deliveries[0].notice_id not in notices_of_42
        call(lane, OK)
        later(seconds=10)
        (lane,) = lease()
        assert len(ids([lane])) == 4
        assert ids([lane]) == sorted(ids([lane]))
        call(lane, OK, OK, BROKEN)
        assert [state for state, _ in states(made)] == [
            "done", "done", "done", "pending", "pending",
        ]  # fmt: skip
        later(seconds=10)
        (lane,) = lease()
        call(lane, OK)
        assert send(OK) == 1


def test_order_is_bounded_a_dead_notice_lets_the_next_one_go() -> None:
    with at():
        made = endpoint(ordered=True)
        write("clinic:42", "clinic:42")
        fan_out()
        until_dead()
        assert states(made) == [("dead", 10), ("pending", 0)]
        later(hours=1)
        assert send(OK) == 1


def _state(endpoint_id: int) -> tuple[str, str | None]:
    with transaction() as session:
        found = notices.endpoints.list_all(session)
    for known in found:
        if known.endpoint_id == endpoint_id:
            return known.state, known.state_reason
    ((state, reason),) = rows(
        "SELECT state, state_reason FROM notice_endpoints WHERE id = :id", id=endpoint_id
    )
    return str(state), str(reason)

"""Replays: counted before, exact, under the same id and body, and in order."""

from datetime import timedelta

import pytest

import clock
from billing import notices
from billing.notices import Missed
from db.session import transaction
from tests.billing.given import open_account, rows
from tests.billing.notices.given import (
    BROKEN,
    OK,
    START,
    at,
    call,
    endpoint,
    fan_out,
    ids,
    later,
    lease,
    review,
    send,
    states,
    until_dead,
    write,
)

pytestmark = pytest.mark.usefixtures("books")


@pytest.fixture(autouse=True)
def clinic(books: None) -> None:
    open_account()


def replay(*, dry_run: bool = False, **more: object) -> int:
    with transaction() as session:
        return notices.replay(session, dry_run=dry_run, **more)  # type: ignore[arg-type]


def switched_off_for_a_day(made: int) -> None:
    """A notice before, two while it is off, one after."""
    write("clinic:42")
    fan_out()
    send(OK)
    with transaction() as session:
        notices.endpoints.disable(session, made, reason="holidays")
    for _ in range(2):
        later(hours=12)
        write("clinic:42")
        fan_out()
        review()
    later(hours=12)
    with transaction() as session:
        notices.endpoints.enable(session, made)
    write("clinic:42")
    fan_out()
    send(OK)


def test_what_was_missed_since_a_time_is_counted_and_then_sent_and_nothing_else() -> None:
    with at():
        made = endpoint()
        switched_off_for_a_day(made)
        since_the_second = Missed(since=START + timedelta(hours=20))
        assert replay(dry_run=True, missed=Missed(), endpoint_id=made) == 2
        assert replay(dry_run=True, missed=since_the_second) == 1
        assert send(OK) == 0, "counting changes nothing"

        assert replay(missed=since_the_second) == 1
        (lane,) = lease()
        (due,) = lane.deliveries
        assert rows("SELECT body FROM outbox_events WHERE id = :id", id=due.notice_id)
        call(lane, OK)
        assert states(made) == [("done", 1), ("skipped", 0), ("done", 1), ("done", 1)]
        assert rows("SELECT action, after->>'deliveries' FROM billing_audit_log"
                    " WHERE action = 'notice.replay'") == [("notice.replay", "1")]  # fmt: skip


def test_many_are_replayed_in_portions_and_none_twice() -> None:
    with at():
        made = endpoint()
        switched_off_for_a_day(made)
        later(seconds=1)
        begun = Missed(finished_before=clock.now())
        assert replay(missed=begun, limit=1) == 1
        send(OK)
        assert replay(missed=begun, limit=1) == 1
        send(OK)
        assert replay(missed=begun, limit=1) == 0


def test_a_dead_notice_begins_the_ladder_anew_and_its_attempts_are_counted_on() -> None:
    with at():
        made = endpoint()
        write("clinic:42")
        fan_out()
        until_dead()
        assert states(made) == [("dead", 10)]
        ((notice_id,),) = rows("SELECT id FROM outbox_events WHERE topic = 'lead.parked'")
        assert replay(notice_id=notice_id) == 1
        later(hours=1)
        (lane,) = lease()
        assert lane.deliveries[0].attempt_number == 11
        call(lane, BROKEN)
        assert states(made) == [("pending", 11)]


def test_one_notice_can_be_sent_again_and_to_an_endpoint_that_never_had_it() -> None:
    made = endpoint()
    (notice_id,) = write("clinic:42")
    with pytest.raises(notices.NotPlacedYet):
        replay(notice_id=notice_id)
    fan_out()
    send(OK)
    newer = endpoint(topics=["balance.low"])
    other_product = endpoint(product="pharmapulse_one")

    assert replay(notice_id=notice_id) == 1
    assert replay(notice_id=notice_id) == 0, "it is on its way"
    assert replay(notice_id=notice_id, endpoint_id=newer) == 1
    assert replay(notice_id=notice_id, endpoint_id=other_product) == 0
    assert ids(lease()) == [notice_id, notice_id]
    assert states(made) == [("pending", 1)]


def test_nothing_is_replayed_to_what_is_off_removed_or_unknown() -> None:
    off, removed = endpoint(), endpoint()
    (notice_id,) = write("clinic:42")
    fan_out()
    with transaction() as session:
        notices.endpoints.disable(session, off, reason="holidays")
        notices.endpoints.remove(session, removed)
    review()
    assert replay(dry_run=True, missed=Missed()) == 0
    with pytest.raises(notices.EndpointIsOff, match=f"endpoints enable {off}"):
        replay(notice_id=notice_id, endpoint_id=off)
    with pytest.raises(notices.UnknownEndpoint):
        replay(notice_id=notice_id, endpoint_id=removed)
    with pytest.raises(notices.UnknownNotice):
        replay(notice_id=999)


def test_a_replay_to_an_ordered_endpoint_goes_before_what_waits_there() -> None:
    with at():
        made = endpoint(ordered=True)
        written = write("clinic:42", "clinic:42", "clinic:42")
        fan_out()
        (lane,) = lease()
        call(lane, OK)
        assert replay(notice_id=written[0]) == 1
        (lane,) = lease()
        assert ids([lane]) == written
        call(lane, OK, OK, OK)
        assert states(made) == [("done", 2), ("done", 1), ("done", 1)]

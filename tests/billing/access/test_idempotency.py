"""Who may work on a request under its key, and for how long."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

import clock
from billing.access import idempotency as api_requests
from billing.access.idempotency import CLAIM_SECONDS, Answer, Claim, ClaimLost, Request
from billing.errors import IdempotencyConflict
from db.session import transaction
from tests.billing.given import at_once, open_account, rows

pytestmark = pytest.mark.usefixtures("database")

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
LATER = NOW + timedelta(seconds=CLAIM_SECONDS)
DONE = Answer(201, '{"a": 1}')


def request(sha: bytes = b"one", *, caller: str = "house", asked: str = "POST /v1/x") -> Request:
    return Request(caller, "k-1", asked, sha)


def claim(what: Request | None = None) -> Claim | Answer | None:
    with transaction() as session:
        return api_requests.claim(session, what or request())


def claimed(what: Request | None = None) -> Claim:
    found = claim(what)
    assert isinstance(found, Claim)
    return found


def finish(mine: Claim) -> None:
    with transaction() as session:
        api_requests.finish(session, mine, DONE)


def test_one_works_on_it_and_the_others_wait_for_its_answer() -> None:
    mine = claimed()
    assert claim() is None

    finish(mine)

    assert claim() == DONE
    assert claim() == DONE


def test_of_many_at_once_one_gets_it(many_connections: None) -> None:
    found = at_once(*[claim] * 8)

    assert sorted(type(one).__name__ for one in found) == ["Claim"] + ["NoneType"] * 7


def test_keys_of_different_callers_never_meet() -> None:
    claimed(request(caller="house"))
    claimed(request(b"two", caller="other"))


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("other", [request(b"two"), request(b"two", asked="POST /v1/y")])
def test_the_same_key_for_another_request_is_a_conflict(answered: bool, other: Request) -> None:
    mine = claimed()
    if answered:
        finish(mine)

    with pytest.raises(IdempotencyConflict) as refused:
        claim(other)

    assert refused.value.key == "k-1"
    assert refused.value.differences.keys() <= {"request", "sha256"}


def test_what_a_dead_process_left_behind_is_taken_over_when_its_time_is_up() -> None:
    with clock.frozen(NOW):
        claimed()
    with clock.frozen(LATER - timedelta(microseconds=1)):
        assert claim() is None
    with clock.frozen(LATER):
        assert claimed().until > LATER
        assert claim() is None


def test_of_many_that_find_it_left_behind_one_takes_it_over(many_connections: None) -> None:
    with clock.frozen(NOW):
        claimed()

    found = at_once(*[claim] * 8)

    assert sorted(type(one).__name__ for one in found) == ["Claim"] + ["NoneType"] * 7


def test_only_the_same_request_takes_it_over() -> None:
    with clock.frozen(NOW):
        claimed()
    with clock.frozen(LATER), pytest.raises(IdempotencyConflict):
        claim(request(b"two"))


def test_who_lost_the_claim_can_neither_answer_nor_keep_an_effect() -> None:
    # Given a claim that ran out and was taken over
    with clock.frozen(NOW):
        first = claimed()
    second = claimed()
    # When the first comes to its end after all, with an effect
    with pytest.raises(ClaimLost), transaction() as session:
        session.execute(text("UPDATE api_requests SET finished_at = :n"), {"n": NOW})
        api_requests.finish(session, first, Answer(201, '"first"'))
    # Then nothing of it stands, and the second's answer is the one
    assert rows("SELECT finished_at, answer FROM api_requests") == [(None, None)]
    finish(second)
    assert claim() == DONE
    with pytest.raises(ClaimLost):
        finish(second)


def test_an_answer_is_rolled_back_with_its_effect() -> None:
    open_account("clinic:1")
    mine = claimed()

    with pytest.raises(IntegrityError), transaction() as session:
        api_requests.finish(session, mine, DONE)
        session.execute(text("UPDATE accounts SET held = -1"))

    assert claim() is None
    finish(mine)


def test_a_request_that_was_abandoned_can_be_tried_again_and_no_other() -> None:
    with transaction() as session:
        api_requests.abandon(session, claimed())

    with pytest.raises(IdempotencyConflict):
        claim(request(b"two"))
    claimed()


def test_a_request_that_came_to_nothing_leaves_the_key_to_any_other() -> None:
    with transaction() as session:
        api_requests.free(session, claimed())

    mine = claimed(request(b"two", asked="POST /v1/y"))

    with pytest.raises(IdempotencyConflict):
        claim()
    finish(mine)
    assert rows("SELECT request FROM api_requests") == [("POST /v1/y",)]


def test_an_answer_is_not_taken_back_by_who_ends_the_work_twice() -> None:
    mine = claimed()
    finish(mine)

    with transaction() as session:
        api_requests.free(session, mine)
        api_requests.abandon(session, mine)

    assert claim() == DONE

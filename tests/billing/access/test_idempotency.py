"""The lease of a request under its key, and its answer."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

import clock
from billing.access import AnswerOutOfReach, idempotency
from billing.access.idempotency import LEASE_SECONDS, Answer, LeaseLost, Request, RequestLease
from billing.errors import IdempotencyConflict
from db.errors import StatementRefused
from db.session import transaction
from tests.billing.given import at_once, open_account, rows

pytestmark = pytest.mark.usefixtures("database")

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
LATER = NOW + timedelta(seconds=LEASE_SECONDS)
DONE = Answer(201, '{"a": 1}')


def request(sha: bytes = b"one", *, caller: str = "house", asked: str = "POST /v1/x") -> Request:
    return Request(caller, "k-1", asked, sha)


def lease(what: Request | None = None) -> RequestLease | Answer | None:
    with transaction() as session:
        return idempotency.lease(session, what or request())


def leased(what: Request | None = None) -> RequestLease:
    found = lease(what)
    assert isinstance(found, RequestLease)
    return found


def finish(mine: RequestLease) -> None:
    with transaction() as session:
        idempotency.finish(session, mine, DONE)


def test_one_works_on_it_and_the_others_wait_for_its_answer() -> None:
    mine = leased()
    assert lease() is None

    finish(mine)

    assert lease() == DONE
    assert lease() == DONE


def test_of_many_at_once_one_gets_it(many_connections: None) -> None:
    found = at_once(*[lease] * 8)

    assert sorted(type(one).__name__ for one in found) == ["NoneType"] * 7 + ["RequestLease"]


def test_keys_of_different_callers_never_meet() -> None:
    leased(request(caller="house"))
    leased(request(b"two", caller="other"))


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("other", [request(b"two"), request(b"two", asked="POST /v1/y")])
def test_the_same_key_for_another_request_is_a_conflict(answered: bool, other: Request) -> None:
    mine = leased()
    if answered:
        finish(mine)

    with pytest.raises(IdempotencyConflict) as refused:
        lease(other)

    assert refused.value.key == "k-1"
    assert refused.value.differences.keys() <= {"request", "sha256"}


@pytest.mark.parametrize("reach", [None, "product:clinic_leads", "account:7"])
def test_an_answer_is_not_repeated_to_a_key_that_sees_something_else_by_now(
    reach: str | None,
) -> None:
    # Given an answer, and a request that a dead process left behind
    one = Request("#1", "k-1", "POST /v1/x", b"one", "account:5")
    left = Request("#1", "k-2", "POST /v1/x", b"one", "account:5")
    finish(leased(one))
    with clock.frozen(NOW):
        leased(left)
    # When the key has got another reach
    for asked in (one, left):
        with pytest.raises(AnswerOutOfReach):
            lease(replace(asked, reach=reach))
    # Then only the old one finds the answer
    assert lease(one) == DONE


def test_what_a_dead_process_left_behind_is_taken_over_when_its_time_is_up() -> None:
    with clock.frozen(NOW):
        leased()
    with clock.frozen(LATER - timedelta(microseconds=1)):
        assert lease() is None
    with clock.frozen(LATER):
        assert leased().until > LATER
        assert lease() is None


def test_of_many_that_find_it_left_behind_one_takes_it_over(many_connections: None) -> None:
    with clock.frozen(NOW):
        leased()

    found = at_once(*[lease] * 8)

    assert sorted(type(one).__name__ for one in found) == ["NoneType"] * 7 + ["RequestLease"]


def test_only_the_same_request_takes_it_over() -> None:
    with clock.frozen(NOW):
        leased()
    with clock.frozen(LATER), pytest.raises(IdempotencyConflict):
        lease(request(b"two"))


def test_a_lost_lease_can_neither_answer_nor_keep_an_effect() -> None:
    # Given a lease that ran out and was taken over
    with clock.frozen(NOW):
        first = leased()
    second = leased()
    # When the first comes to its end after all, with an effect
    with pytest.raises(LeaseLost), transaction() as session:
        session.execute(text("UPDATE api_requests SET finished_at = :n"), {"n": NOW})
        idempotency.finish(session, first, Answer(201, '"first"'))
    # Then nothing of it stands, and the second's answer is the one
    assert rows("SELECT finished_at, answer FROM api_requests") == [(None, None)]
    finish(second)
    assert lease() == DONE
    with pytest.raises(LeaseLost):
        finish(second)


def test_an_answer_is_rolled_back_with_its_effect() -> None:
    open_account("clinic:1")
    mine = leased()

    with pytest.raises(StatementRefused), transaction() as session:
        idempotency.finish(session, mine, DONE)
        session.execute(text("UPDATE accounts SET held = -1"))

    assert lease() is None
    finish(mine)


def test_a_request_that_was_abandoned_can_be_tried_again_and_no_other() -> None:
    with transaction() as session:
        idempotency.abandon(session, leased())

    with pytest.raises(IdempotencyConflict):
        lease(request(b"two"))
    leased()


def test_a_request_that_came_to_nothing_leaves_the_key_to_any_other() -> None:
    with transaction() as session:
        idempotency.free(session, leased())

    mine = leased(request(b"two", asked="POST /v1/y"))

    with pytest.raises(IdempotencyConflict):
        lease()
    finish(mine)
    assert rows("SELECT request FROM api_requests") == [("POST /v1/y",)]


def test_an_answer_is_not_taken_back_by_who_ends_the_work_twice() -> None:
    mine = leased()
    finish(mine)

    with transaction() as session:
        idempotency.free(session, mine)
        idempotency.abandon(session, mine)

    assert lease() == DONE

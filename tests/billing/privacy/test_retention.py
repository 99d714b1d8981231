"""Bodies and answers are blanked once their time is up: which ones, which never, what stays."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

import clock
from billing.access import AnswerNotKept
from billing.access import idempotency as api_requests
from billing.errors import IdempotencyConflict
from billing.privacy import retention
from billing.privacy.retention import Limits
from db import deliveries
from db.deliveries import NewEvent
from db.roles import Role
from db.session import transaction
from tests.billing.given import rows
from tests.conftest import owner

pytestmark = pytest.mark.usefixtures("database")

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
LIMITS = Limits(bodies_days=180, dead_days=365, answers_days=90)


def record(
    event_id: str, *, age_days: float, state: str = "done", error: str | None = None
) -> None:
    """A delivery that came so many days ago."""
    event = NewEvent("razorpay", event_id, b'{"email": "asha@example.in"}', NOW - age_days * DAY)
    with transaction() as session:
        deliveries.record(session, [event])
    end(event_id, state, error)


def end(event_id: str, state: str, error: str | None = None) -> None:
    with transaction() as session:
        session.execute(
            text(
                "UPDATE inbound_events SET state = :state, outcome = 'captured',"
                " last_error = :error, handled_at = received_at WHERE event_id = :event_id"
            ),
            {"state": state, "error": error, "event_id": event_id},
        )


def ask(key: str, *, age_days: float, status: int | None = 201, leased: bool = False) -> None:
    """A request under an Idempotency-Key that came so many days ago."""
    with owner() as connection:
        connection.execute(
            text(
                "INSERT INTO api_requests (caller, idempotency_key, request, request_hash,"
                " claimed_until, status, answer, created_at) VALUES ('house', :key,"
                " 'POST /v1/disputes', '\\x01', :until, :status, :answer, :at)"
            ),
            {
                "key": key, "status": status, "at": NOW - age_days * DAY,
                "answer": None if status is None else '{"description": "Asha, 98765 43210"}',
                "until": NOW + timedelta(seconds=30) if leased else None,
            },
        )  # fmt: skip


def tick(limits: Limits = LIMITS, *, now: datetime = NOW) -> tuple[int, int]:
    """Step until there is no more; the numbers of bodies and of answers."""
    done = []
    for step in (retention.blank_some, retention.fold_some):
        total, more = 0, True
        while more:
            with transaction(Role.RETENTION) as session:
                found = step(session, limits, now=now)
            total, more = total + found.rows, found.more
        done.append(total)
    return done[0], done[1]


def blanked() -> list[object]:
    query = "SELECT event_id FROM inbound_events WHERE blanked_at IS NOT NULL ORDER BY id"
    return [event_id for (event_id,) in rows(query)]


def folded() -> list[object]:
    query = "SELECT idempotency_key FROM api_requests WHERE folded_at IS NOT NULL ORDER BY 1"
    return [key for (key,) in rows(query)]


# --- bodies -------------------------------------------------------------------------------------


def test_a_finished_body_is_blanked_at_its_age_and_not_before() -> None:
    for state in ("done", "ignored"):
        record(f"old {state}", age_days=180.01, state=state)
        record(f"young {state}", age_days=179.99, state=state)

    assert tick() == (2, 0)
    assert blanked() == ["old done", "old ignored"]
    assert tick(now=NOW + DAY) == (2, 0)
    assert len(blanked()) == 4


def test_what_identifies_the_row_and_its_outcome_stay() -> None:
    record("e1", age_days=200, error="UnreadableAnswer: asha@example.in is no amount")
    identifying = "SELECT id, source, event_id, body_sha256, state, outcome, received_at" \
        " FROM inbound_events"  # fmt: skip
    before = rows(identifying)

    tick()

    assert rows(identifying) == before
    assert rows("SELECT CAST(body AS text), blanked_at, last_error FROM inbound_events") == [
        ("\\x", NOW, "UnreadableAnswer")
    ]


def test_a_repeat_of_a_blanked_delivery_is_still_a_repeat() -> None:
    record("e1", age_days=200)
    tick()

    with transaction() as session:
        repeat = NewEvent("razorpay", "e1", b'{"email": "asha@example.in"}', NOW)
        assert deliveries.record(session, [repeat]) == [False]
    assert rows("SELECT state FROM inbound_events") == [("done",)]


def test_a_pending_body_is_never_blanked_and_a_dead_one_only_after_its_own_time() -> None:
    record("pending", age_days=2_000, state="pending")
    record("dead", age_days=300, state="dead")
    record("long dead", age_days=366, state="dead")

    assert tick() == (1, 0)
    assert blanked() == ["long dead"]
    assert tick(now=NOW + 66 * DAY) == (1, 0)
    assert blanked() == ["dead", "long dead"]


def test_what_was_not_finished_when_the_walk_came_by_is_blanked_once_it_is() -> None:
    # Given a dead and a pending row that the walk has passed
    record("dead", age_days=300, state="dead")
    record("pending", age_days=200, state="pending")
    record("done", age_days=190)
    tick()
    assert blanked() == ["done"]

    end("dead", "done")
    end("pending", "ignored")

    assert tick() == (2, 0)
    assert rows("SELECT count(*) FROM retention_leftovers") == [(0,)]


def test_a_row_of_a_clock_that_is_ahead_does_not_hold_up_the_others() -> None:
    record("ahead", age_days=-400)
    record("old", age_days=200)

    assert tick() == (1, 0)
    assert tick(now=NOW + 600 * DAY) == (1, 0)


def test_zero_days_keep_for_ever() -> None:
    record("done", age_days=5_000)
    record("dead", age_days=5_000, state="dead")
    ask("k", age_days=5_000)

    assert tick(Limits(bodies_days=None, dead_days=None, answers_days=None)) == (0, 0)
    assert tick(Limits(bodies_days=180, dead_days=None, answers_days=None)) == (1, 0)
    assert blanked() == ["done"]


def test_a_step_is_small_and_the_next_one_goes_on_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 3)
    for n in range(7):
        record(f"e{n}", age_days=200 - n / 10)

    steps = []
    for _ in range(4):
        with transaction(Role.RETENTION) as session:
            steps.append(retention.blank_some(session, LIMITS, now=NOW))

    assert [step.rows for step in steps] == [3, 3, 1, 0]
    assert [step.more for step in steps] == [True, True, True, False]


def test_a_step_that_is_rolled_back_is_taken_again() -> None:
    record("e1", age_days=200)

    with pytest.raises(RuntimeError), transaction(Role.RETENTION) as session:
        assert retention.blank_some(session, LIMITS, now=NOW).rows == 1
        raise RuntimeError

    assert blanked() == []
    assert tick() == (1, 0)


# --- answers ------------------------------------------------------------------------------------


def repeat(key: str, digest: bytes = b"\x01") -> object:
    request = api_requests.Request("house", key, "POST /v1/disputes", digest)
    with transaction() as session:
        return api_requests.lease(session, request)


def test_an_old_answer_is_dropped_and_its_repeat_is_recognised_and_refused() -> None:
    ask("old", age_days=91)
    ask("young", age_days=89)

    assert tick() == (0, 1)

    assert folded() == ["old"]
    assert rows("SELECT status, answer, CAST(request_hash AS text) FROM api_requests"
                " WHERE folded_at IS NOT NULL") == [(201, "{}", "\\x01")]  # fmt: skip
    with pytest.raises(AnswerNotKept, match="answered 201"):
        repeat("old")
    with pytest.raises(IdempotencyConflict):
        repeat("old", b"\x02")
    assert isinstance(repeat("young"), api_requests.Answer)


@pytest.mark.parametrize("digest", [b"\x01", b"\x02"])
def test_an_old_request_without_an_answer_is_not_done_again(digest: bytes) -> None:
    ask("refused", age_days=91, status=None)
    tick()

    with pytest.raises(AnswerNotKept, match="without an answer"):
        repeat("refused", digest)


def test_a_request_that_is_worked_on_now_is_passed_later() -> None:
    ask("a", age_days=93)
    ask("b", age_days=92, status=None, leased=True)
    ask("c", age_days=91)

    assert tick() == (0, 1)
    assert folded() == ["a"]
    assert tick(now=NOW + timedelta(minutes=1)) == (0, 2)


def test_an_answer_that_comes_after_retention_is_not_kept() -> None:
    # Given an old request whose repeat began just when retention came by
    ask("late", age_days=91, status=None)
    with clock.frozen(NOW):
        held = repeat("late")
    assert isinstance(held, api_requests.RequestLease)
    assert tick(now=held.until + timedelta(seconds=1)) == (0, 1)

    with transaction() as session:
        api_requests.finish(session, held, api_requests.Answer(201, '{"description": "Asha"}'))

    assert rows("SELECT status, answer FROM api_requests") == [(201, "{}")]


def test_answers_of_one_moment_are_dropped_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 2)
    for n in range(5):
        ask(f"k{n}", age_days=100)

    assert tick() == (0, 5)

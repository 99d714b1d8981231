"""The inbox: recorded once, leased to one worker, and the one retry policy."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from db import deliveries, inbox, inbox_operations
from db.deliveries import NewEvent
from db.inbox import BATCH_SIZE, LAST_RETRY, LEASE, MAX_ATTEMPTS, Finished, Lease
from db.session import transaction
from errors import PermanentError
from tests.billing.given import rows
from tests.conftest import owner

pytestmark = pytest.mark.usefixtures("database")

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = LEASE + timedelta(seconds=1)


def record(*ids: str, source: str = "leads", at: datetime = NOON) -> list[bool]:
    with transaction() as session:
        return deliveries.record(session, [NewEvent(source, id_, b"{}", at) for id_ in ids])


def lease(at: datetime = NOON, source: str = "leads") -> Lease | None:
    with transaction() as session:
        return inbox.lease(session, source, now=at)


def leased(at: datetime = NOON) -> Lease:
    taken = lease(at)
    assert taken is not None
    return taken


class BrokenRow(PermanentError):
    """An error of ours: its text is kept."""


def give_back(taken: Lease, *, permanent: bool = False, at: datetime = NOON) -> None:
    with transaction() as session:
        inbox.give_back(session, taken, BrokenRow("broken"), permanent=permanent, now=at)


def finish(taken: Lease) -> int:
    with transaction() as session:
        events = inbox.load_leased(session, taken)
        inbox.finish(
            session, [(event.id, Finished("done", outcome="charged")) for event in events], now=NOON
        )
        return len(events)


def states() -> dict[str, int]:
    return {
        str(state): int(str(n))
        for state, n in rows("SELECT state, count(*) FROM inbound_events GROUP BY 1")
    }


# --- recording ----------------------------------------------------------------------------------


def test_a_delivery_is_recorded_once_with_its_raw_bytes() -> None:
    body = b'\xff\x00 {"any": bytes}'
    event = NewEvent("leads", "e1", body, NOON)
    with transaction() as session:
        assert deliveries.record(session, [event, event]) == [True, False]
    with transaction() as session:
        assert deliveries.record(session, [event]) == [False]
    assert [
        (source, event_id, bytes(stored), at)  # type: ignore[call-overload]
        for source, event_id, stored, at in rows(
            "SELECT source, event_id, body, received_at FROM inbound_events"
        )
    ] == [("leads", "e1", body, NOON)]


def test_a_known_id_with_another_body_or_source_is_a_delivery_of_its_own() -> None:
    with transaction() as session:
        answers = deliveries.record(
            session,
            [
                NewEvent("leads", "e1", b"one", NOON),
                NewEvent("leads", "e1", b"two", NOON),
                NewEvent("razorpay", "e1", b"one", NOON),
            ],
        )
    assert answers == [True, True, True]


# --- leasing ------------------------------------------------------------------------------------


def test_a_lease_takes_the_oldest_rows_up_to_the_batch_size_and_counts_the_attempt() -> None:
    record(*[f"e{i}" for i in range(BATCH_SIZE + 5)])
    assert len(leased().event_ids) == BATCH_SIZE
    assert len(leased().event_ids) == 5
    assert lease() is None
    assert rows("SELECT DISTINCT attempts FROM inbound_events") == [(1,)]


def test_a_lease_is_of_one_source() -> None:
    record("e1", source="razorpay")
    assert lease() is None
    assert lease(source="razorpay") is not None


def test_a_row_that_another_transaction_is_working_on_is_not_vanished_however_long_it_takes() -> (
    None
):
    record("e1")
    taken = leased()
    with transaction() as working:
        inbox.load_leased(working, taken)
        assert lease(at=NOON + timedelta(hours=1)) is None


def test_a_worker_that_overslept_its_lease_finds_its_rows_gone() -> None:
    record("e1", "e2")
    overslept = leased()
    taken = leased(at=NOON + LATER)
    assert finish(overslept) == len(overslept.event_ids) - len(taken.event_ids)
    assert finish(taken) == 1


def test_finished_rows_keep_their_outcome_and_are_never_leased_again() -> None:
    record("e1")
    finish(leased())
    assert rows("SELECT state, outcome, handled_at, leased_until FROM inbound_events") == [
        ("done", "charged", NOON, None)
    ]
    assert lease(at=NOON + timedelta(days=1)) is None


# --- a batch that ended badly -------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["given back", "vanished"])
def test_a_batch_that_ended_badly_comes_back_in_halves(ending: str) -> None:
    record(*[f"e{i}" for i in range(8)])
    now = NOON
    sizes = []
    while (taken := lease(at=now)) is not None and len(taken.event_ids) > 1:
        sizes.append(len(taken.event_ids))
        if ending == "given back":
            give_back(taken, at=now)
        else:
            now += LATER
    assert sizes == [8, 4, 2]


def test_fresh_rows_are_not_mixed_with_suspects() -> None:
    record(*[f"e{i}" for i in range(4)])
    give_back(leased())
    record("fresh", at=NOON)
    assert [len(leased().event_ids) for _ in range(3)] == [2, 2, 1]


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(size=st.integers(2, 40), data=st.data(), kills=st.booleans())
def test_the_culprit_alone_is_dead_in_the_end_and_its_neighbours_go_through(
    size: int, data: st.DataObject, *, kills: bool
) -> None:
    # Given a batch with one row that fails, or kills, whoever works on it
    with owner() as connection:
        connection.execute(text("DELETE FROM inbound_events"))
    record(*[f"e{i}" for i in range(size)])
    culprit = rows("SELECT id FROM inbound_events ORDER BY id")[
        data.draw(st.integers(0, size - 1))
    ][0]
    # When workers go on until nothing is pending
    now, leases, alone = NOON, 0, 0
    while states().get("pending"):
        taken = lease(at=now)
        if taken is None:
            now += LAST_RETRY
            continue
        leases += 1
        if culprit not in taken.event_ids:
            finish(taken)
            continue
        alone += len(taken.event_ids) == 1
        if not kills:
            give_back(taken, at=now)
        now += LATER
    # Then the culprit is dead after its attempts alone, and everybody else is done
    assert states() == {"dead": 1, "done": size - 1}
    ((dead, attempts, error),) = rows(
        "SELECT id, attempts, last_error FROM inbound_events WHERE state = 'dead'"
    )
    assert dead == culprit
    assert ("killed or hung" if kills else "BrokenRow: broken") in str(error)
    # It may have been counted once with the whole batch; halving counts nobody.
    assert alone in {MAX_ATTEMPTS - 1, MAX_ATTEMPTS}
    assert attempts == MAX_ATTEMPTS
    assert leases <= MAX_ATTEMPTS + 2 * size


def test_a_row_that_fails_alone_waits_longer_each_time_with_jitter() -> None:
    record("e1")
    now = NOON
    waits = []
    while (taken := lease(at=now)) is not None:
        give_back(taken, at=now)
        ((state, due),) = rows("SELECT state, next_attempt_at FROM inbound_events")
        if state == "dead":
            break
        assert isinstance(due, datetime)
        waits.append((due - now).total_seconds())
        assert lease(at=due - timedelta(milliseconds=1)) is None
        now = due
    assert len(waits) == MAX_ATTEMPTS - 1
    for attempt, wait in enumerate(waits):
        full = min(2.0 * 2**attempt, LAST_RETRY.total_seconds())
        assert 0.75 * full <= wait <= full


def test_a_permanent_error_of_a_row_alone_is_dead_at_once() -> None:
    record("e1")
    give_back(leased(), permanent=True)
    assert rows("SELECT state, attempts, last_error, handled_at FROM inbound_events") == [
        ("dead", 1, "BrokenRow: broken", NOON)
    ]


def test_a_permanent_error_of_a_batch_condemns_nobody() -> None:
    record("e1", "e2")
    give_back(leased(), permanent=True)
    assert states() == {"pending": 2}


def test_an_error_text_that_cannot_be_stored_is_stored_as_far_as_it_can() -> None:
    record("e1")
    with transaction() as session:
        taken = inbox.lease(session, "leads", now=NOON)
        assert taken is not None
        error = BrokenRow("nul \x00 surrogate \ud800 " + "long " * 1_000)
        inbox.give_back(session, taken, error, permanent=True, now=NOON)
    ((stored,),) = rows("SELECT last_error FROM inbound_events")
    assert str(stored).startswith("BrokenRow: nul \\x00 surrogate \\ud800 long")
    assert len(str(stored)) == 2_000


# --- sweeping and replaying ---------------------------------------------------------------------


def test_a_source_is_due_while_it_has_rows_that_nobody_holds() -> None:
    def due(at: datetime) -> list[str]:
        with transaction() as session:
            return inbox.due_sources(session, now=at)

    assert due(NOON) == []
    record("e1", "e2")
    record("p1", source="razorpay")
    assert due(NOON) == ["leads", "razorpay"]
    assert due(NOON - timedelta(seconds=1)) == []
    leased()
    assert due(NOON) == ["razorpay"]
    assert due(NOON + LATER) == ["leads", "razorpay"]


@pytest.fixture
def dead_row() -> int:
    record("e1")
    taken = leased()
    give_back(taken, permanent=True)
    return taken.event_ids[0]


def test_a_dead_row_can_be_replayed_and_has_all_its_attempts_again(dead_row: int) -> None:
    with transaction() as session:
        assert inbox_operations.dead_ids(session) == [dead_row]
        assert inbox_operations.replay(session, [dead_row, 999], now=NOON) == [dead_row]
    assert rows("SELECT state, attempts, handled_at FROM inbound_events") == [("pending", 0, None)]
    assert leased().event_ids == (dead_row,)


def test_only_dead_rows_can_be_replayed() -> None:
    record("e1")
    taken = leased()
    finish(taken)
    with transaction() as session:
        assert inbox_operations.replay(session, taken.event_ids, now=NOON) == []
    assert states() == {"done": 1}


def test_a_worker_that_overslept_cannot_give_back_what_another_holds_or_has_finished() -> None:
    record("e1", "e2")
    overslept = leased()
    held = leased(at=NOON + LATER)  # one of the two: the batch came back in halves
    give_back(overslept, permanent=True)
    assert lease(at=NOON + LATER) is not None  # the other half, and not the one that is held
    assert lease(at=NOON + LATER) is None
    finish(held)
    give_back(held, permanent=True)
    assert states() == {"done": 1, "pending": 1}


def test_a_replayed_row_is_no_suspect_and_shares_a_batch_again(dead_row: int) -> None:
    record("e2", "e3")
    with transaction() as session:
        inbox_operations.replay(session, [dead_row], now=NOON)
    assert len(leased().event_ids) == 3


# --- who may give back, and in which order -------------------------------------------------------


def test_what_another_worker_has_taken_since_is_not_given_back() -> None:
    record("e1", "e2")
    overslept = leased()
    taken = leased(at=NOON + LATER)
    give_back(overslept, permanent=True)
    assert finish(taken) == 1
    assert rows(
        "SELECT lease_id, last_error FROM inbound_events WHERE id = :id", id=taken.event_ids[0]
    ) == [(taken.id, None)]


def test_a_finished_row_is_not_given_back() -> None:
    record("e1")
    taken = leased()
    finish(taken)
    give_back(taken, permanent=True)
    assert states() == {"done": 1}


def test_a_batch_given_back_comes_behind_what_waits_already() -> None:
    record("e1", "e2")
    taken = leased()
    record("fresh", at=NOON + timedelta(seconds=1))
    give_back(taken, at=NOON + timedelta(seconds=2))
    assert len(leased(at=NOON + timedelta(seconds=2)).event_ids) == 1
    assert leased(at=NOON + timedelta(seconds=2)).suspect


def test_a_replayed_row_is_a_fresh_one() -> None:
    record("e1", "e2")
    give_back(leased())
    alone = leased()
    give_back(alone, permanent=True)
    with transaction() as session:
        inbox_operations.replay(session, alone.event_ids, now=NOON)
    taken = [leased(), leased()]
    assert [lease.suspect for lease in taken].count(False) == 1

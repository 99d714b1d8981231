"""Holds: credit set aside, then captured, voided or expired. Once each, whoever asks at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import clock
from billing import accounts
from billing.credit import HoldFinished, InvalidHold, UnknownHold, corrections, hold_expiry, holds
from billing.errors import IdempotencyConflict, UnknownAccount
from billing.ledger import InsufficientCredit, InvalidPosting, Kind, Posting, SecondPost
from db.models import Hold
from db.session import transaction
from tests.billing.given import (
    assert_ledger_is_clean,
    at_once,
    balance,
    give,
    open_account,
    post_all,
    rows,
    take,
)
from tests.conftest import owner

pytestmark = pytest.mark.usefixtures("database")

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)


def place(amount: Any = 30, *, key: Any = "h", **more: Any) -> Hold:
    fields = {"account": "clinic:42", "actor": "test", "expires_in": HOUR, **more}
    with transaction() as session:
        return holds.place(session, amount=amount, idempotency_key=key, **fields)


def capture(hold_id: Any, amount: Any = None, *, key: Any = "c", actor: Any = "test") -> Hold:
    with transaction() as session:
        return holds.capture(
            session, hold_id=hold_id, amount=amount, idempotency_key=key, actor=actor
        )


def void(hold_id: Any, *, key: Any = "v", actor: Any = "test") -> Hold:
    with transaction() as session:
        return holds.void(session, hold_id=hold_id, idempotency_key=key, actor=actor)


def expire() -> int:
    with transaction() as session:
        return hold_expiry.expire_due(session)


def figures(ref: str = "clinic:42") -> tuple[int, int, int]:
    """Balance, held, available."""
    with transaction() as session:
        account = accounts.find(session, ref)
        assert account is not None
        return account.balance, account.held, accounts.available(account)


def story(hold_id: int) -> list[tuple[object, ...]]:
    return list(
        rows("SELECT event, amount FROM hold_events WHERE hold_id = :id ORDER BY id", id=hold_id)
    )


# --- the life of a hold -------------------------------------------------------------------------


def test_a_hold_lowers_what_is_available_at_once_and_moves_no_credit() -> None:
    open_account(credits_=100, overdraft_limit=5)
    with clock.frozen(NOW):
        hold = place(30, expires_in=HOUR)

    assert (hold.state, hold.amount, hold.captured, hold.expires_at) == ("open", 30, 0, NOW + HOUR)
    assert figures() == (100, 30, 75)
    assert isinstance(post_all(take(76, key="t"))[0].error, InsufficientCredit)
    assert post_all(take(75, key="u"))[0].balance_after == 25
    assert story(hold.id) == [("placed", 30)]
    assert rows("SELECT count(*) FROM credit_transactions") == [(2,)]
    assert_ledger_is_clean()


def test_capturing_all_of_a_hold_charges_it() -> None:
    open_account(credits_=100)
    hold = place(30, kind=Kind.USAGE, description="3 pages")
    captured = capture(hold.id)

    assert (captured.state, captured.captured, captured.finish_key) == ("captured", 30, "c")
    assert figures() == (70, 0, 70)
    assert rows(
        "SELECT t.amount, t.kind, t.idempotency_key, t.description, t.actor"
        " FROM credit_transactions t JOIN holds h ON h.transaction_id = t.id"
    ) == [(-30, "usage", "hold:h:capture", "3 pages", "test")]
    assert story(hold.id) == [("placed", 30), ("captured", 30)]
    assert_ledger_is_clean()


def test_capturing_a_part_releases_the_rest() -> None:
    open_account(credits_=100)
    hold = place(30)
    assert capture(hold.id, 12).captured == 12
    assert figures() == (88, 0, 88)
    assert story(hold.id) == [("placed", 30), ("captured", 12), ("released", 18)]
    assert_ledger_is_clean()


def test_a_hold_may_be_captured_though_nothing_else_is_available() -> None:
    open_account(credits_=30)
    hold = place(30)
    assert isinstance(post_all(take(1, key="t"))[0].error, InsufficientCredit)
    capture(hold.id)
    assert figures() == (0, 0, 0)


def test_voiding_releases_all_of_it() -> None:
    open_account(credits_=100)
    hold = place(30)
    assert void(hold.id).state == "voided"
    assert figures() == (100, 0, 100)
    assert story(hold.id) == [("placed", 30), ("voided", 30)]
    assert_ledger_is_clean()


def test_a_hold_may_use_the_overdraft_and_not_pass_it() -> None:
    open_account(credits_=10, overdraft_limit=20)
    hold = place(30)
    with pytest.raises(InsufficientCredit) as caught:
        place(1, key="more")
    assert (caught.value.needed, caught.value.available) == (1, 0)
    assert rows("SELECT count(*) FROM holds") == [(1,)]
    capture(hold.id)
    assert figures() == (-20, 0, 0)
    assert_ledger_is_clean()


def test_a_captured_hold_can_be_given_back_like_any_charge() -> None:
    open_account(credits_=100)
    capture(place(30).id)
    with transaction() as session:
        corrections.reverse(
            session, charge_key="hold:h:capture", amount=None, reason="failed", actor="ops",
            idempotency_key="r",
        )  # fmt: skip
    assert rows("SELECT remaining FROM credit_lots") == [(100,)]
    assert_ledger_is_clean()


def test_a_capture_that_a_correction_left_no_credit_for_is_refused_and_the_hold_stays() -> None:
    open_account(credits_=100)
    hold = place(30)
    with transaction() as session:
        corrections.adjust(
            session, account="clinic:42", amount=-90, reason="wrong", actor="a",
            idempotency_key="a",
        )  # fmt: skip
    with pytest.raises(InsufficientCredit) as caught:
        capture(hold.id)
    assert (caught.value.needed, caught.value.available) == (30, 10)
    assert figures() == (10, 30, -20)
    assert capture(hold.id, 10).captured == 10
    assert figures() == (0, 0, 0)
    assert_ledger_is_clean()


# --- time ---------------------------------------------------------------------------------------


def test_the_sweep_ends_the_holds_whose_time_is_up_and_no_others() -> None:
    open_account(credits_=100)
    open_account("clinic:43", credits_=100)
    with clock.frozen(NOW):
        due = [place(10, key="a"), place(20, key="b"), place(5, key="c", account="clinic:43")]
        later, forever = place(1, key="d", expires_in=2 * HOUR), place(2, key="e", expires_in=None)
        clock.advance(HOUR - timedelta(microseconds=1))
        assert expire() == 0
        clock.advance(timedelta(microseconds=1))
        assert (expire(), expire()) == (3, 0)

    assert [(figures()), figures("clinic:43")] == [(100, 3, 97), (100, 0, 100)]
    assert [story(hold.id)[-1] for hold in due] == [
        ("expired", 10), ("expired", 20), ("expired", 5),
    ]  # fmt: skip
    assert [story(hold.id) for hold in (later, forever)] == [[("placed", 1)], [("placed", 2)]]
    assert rows("SELECT DISTINCT actor FROM hold_events WHERE event = 'expired'") == [
        ("system:expiry",)
    ]
    assert_ledger_is_clean()


@pytest.mark.parametrize("finish", [capture, void])
def test_after_its_time_a_hold_is_finished_even_before_the_sweep(
    finish: Callable[[int], Hold],
) -> None:
    open_account(credits_=100)
    with clock.frozen(NOW):
        hold = place(30, expires_in=HOUR)
        clock.advance(HOUR)
        for _ in range(2):
            with pytest.raises(HoldFinished) as caught:
                finish(hold.id)
            assert (caught.value.hold_id, caught.value.state) == (hold.id, "expired")
            expire()
    assert figures() == (100, 0, 100)


def test_what_an_expired_hold_kept_can_be_held_again_before_the_sweep() -> None:
    open_account(credits_=100)
    with clock.frozen(NOW):
        gone = place(100, expires_in=HOUR)
        clock.advance(HOUR)

        place(100, key="again")

    assert (figures(), story(gone.id)[-1]) == ((100, 100, 0), ("expired", 100))
    assert_ledger_is_clean()


def test_credit_that_only_an_expired_hold_kept_alive_is_not_held_again() -> None:
    open_account()
    with clock.frozen(NOW):
        post_all(give(100, key="g", expires_at=NOW + HOUR))
        place(100, expires_in=2 * HOUR)
        clock.advance(2 * HOUR)
        with pytest.raises(InsufficientCredit):
            place(100, key="again")


def test_a_sweep_of_many_holds_takes_several_turns() -> None:
    open_account(credits_=1_000)
    open_account("clinic:43", credits_=1_000)
    with clock.frozen(NOW):
        for n in range(6):
            place(1, key=f"h{n}", account=f"clinic:{42 + n % 2}", expires_in=HOUR * (n % 2 + 1))
        clock.advance(2 * HOUR)
        with transaction() as session:
            first = hold_expiry.expire_due(session, limit=1)
        assert (first, expire(), expire()) == (3, 3, 0)
    assert_ledger_is_clean()


# --- the same request again, and another one ----------------------------------------------------


def test_placing_again_with_the_same_key_is_one_hold() -> None:
    open_account(credits_=30)
    first = place(30)
    again = place(30, actor="somebody else", expires_in=HOUR)
    assert (again.id, again.expires_at) == (first.id, first.expires_at)
    assert figures() == (30, 30, 0)
    assert story(first.id) == [("placed", 30)]


def test_placing_again_tells_what_became_of_the_hold() -> None:
    open_account(credits_=30)
    capture(place(30).id, 10)
    again = place(30)
    assert (again.state, again.captured) == ("captured", 10)
    assert figures() == (20, 0, 20)


@pytest.mark.parametrize(
    ("changes", "differences"),
    [
        ({"amount": 31}, {"amount": (30, 31)}),
        ({"kind": Kind.LEAD_CHARGE}, {"kind": ("usage", "lead_charge")}),
        ({"description": "other"}, {"description": ("", "other")}),
        ({"account": "clinic:43"}, {"account": ("clinic:42", "clinic:43")}),
    ],
)
def test_placing_with_the_same_key_and_other_content_is_a_conflict_that_names_the_field(
    changes: dict[str, object], differences: dict[str, tuple[object, object]]
) -> None:
    open_account(credits_=100)
    open_account("clinic:43", credits_=100)
    place(30)
    with pytest.raises(IdempotencyConflict) as caught:
        place(**{"amount": 30, **changes})
    assert caught.value.differences == differences
    assert (figures()[1], figures("clinic:43")[1]) == (30, 0)


def test_capturing_or_voiding_again_answers_the_outcome() -> None:
    open_account(credits_=100)
    first, second = place(30, key="a"), place(20, key="b")
    capture(first.id, 12)
    void(second.id)
    again, voided = capture(first.id, 12), void(second.id)
    assert (again.state, again.captured, voided.state) == ("captured", 12, "voided")
    assert figures() == (88, 0, 88)
    assert len(story(first.id)) == 3
    assert len(story(second.id)) == 2


def test_an_outcome_is_answered_after_the_holds_time_too() -> None:
    open_account(credits_=100)
    with clock.frozen(NOW):
        hold = place(30)
        capture(hold.id, 12)
        clock.advance(2 * HOUR)
        assert capture(hold.id, 12).captured == 12


@pytest.mark.parametrize("amount", [13, None])
def test_capturing_again_with_another_amount_is_a_conflict(amount: int | None) -> None:
    open_account(credits_=100)
    hold = place(30)
    capture(hold.id, 12)
    with pytest.raises(IdempotencyConflict) as caught:
        capture(hold.id, amount)
    assert caught.value.differences == {"amount": (12, amount or 30)}
    assert figures() == (88, 0, 88)


def test_another_request_for_a_finished_hold_is_refused() -> None:
    open_account(credits_=100)
    captured, voided = place(30, key="a"), place(20, key="b")
    capture(captured.id)
    void(voided.id)
    for finish, hold, key, state in (
        (capture, captured, "another", "captured"),
        (void, captured, "c", "captured"),  # the key of the capture
        (void, voided, "another", "voided"),
        (capture, voided, "v", "voided"),
    ):
        with pytest.raises(HoldFinished) as caught:
            finish(hold.id, key=key)
        assert caught.value.state == state
    assert figures() == (70, 0, 70)
    assert_ledger_is_clean()


def test_a_hold_is_placed_by_what_the_account_is_now_not_by_what_the_caller_saw() -> None:
    # Given a caller that has looked at the account
    open_account(credits_=100)
    with pytest.raises(InsufficientCredit) as caught, transaction() as session:
        seen = accounts.find(session, "clinic:42")
        assert seen is not None
        # When another request holds most of the credit meanwhile
        place(80, key="other")
        # Then only the rest is there to be held
        holds.place(
            session, account="clinic:42", amount=30, idempotency_key="h", actor="test",
            expires_in=None,
        )  # fmt: skip
    assert caught.value.available == 20
    assert figures() == (100, 80, 20)
    assert_ledger_is_clean()


def test_placing_counts_as_the_post_of_its_transaction() -> None:
    open_account(credits_=100)
    with pytest.raises(SecondPost), transaction() as session:
        for key in ("a", "b"):
            holds.place(
                session, account="clinic:42", amount=1, idempotency_key=key, actor="t",
                expires_in=None,
            )  # fmt: skip
    assert figures() == (100, 0, 100)


def test_an_error_in_the_callers_transaction_takes_a_capture_back() -> None:
    open_account(credits_=100)
    hold = place(30)
    with pytest.raises(RuntimeError), transaction() as session:
        holds.capture(session, hold_id=hold.id, idempotency_key="c", actor="t")
        raise RuntimeError
    assert figures() == (100, 30, 70)
    assert story(hold.id) == [("placed", 30)]


# --- nonsense has a typed error and changes nothing ---------------------------------------------


def test_a_hold_that_makes_no_sense_names_its_field() -> None:
    open_account(credits_=100)
    nonsense: list[tuple[str, Any]] = [
        *(("amount", v) for v in (0, -5, True, 1.0, "5", None, 2**63, 10**12 + 1)),
        *(("account", v) for v in ("", None, 42, "c\x00", "c" * 101)),
        *(("key", v) for v in ("", "  ", None, 7, "a\x00b", "a\nb", "k" * 10_000)),
        *(("actor", v) for v in ("", None, "a\x00", "a" * 201)),
        *(("description", v) for v in (None, "x" * 1_001, "a\ud800")),
        *(("kind", v) for v in ("usage", None, ["usage"], Kind.TOP_UP, Kind.EXPIRY)),
        *(("expires_in", v) for v in (timedelta(0), -HOUR, timedelta(days=367), 3_600, "1h", NOW)),
    ]
    for field, value in nonsense:
        with pytest.raises(InvalidHold) as caught:
            place(**{"amount": 5, field: value})
        assert caught.value.field == {"key": "idempotency_key"}.get(field, field)
    assert figures() == (100, 0, 100)
    assert rows("SELECT count(*) FROM holds") == [(0,)]


def test_a_hold_on_an_account_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnknownAccount):
        place()
    assert rows("SELECT count(*) FROM holds") == [(0,)]


@pytest.mark.parametrize("finish", [capture, void])
def test_finishing_a_hold_with_nonsense_names_the_field(finish: Callable[..., Hold]) -> None:
    open_account(credits_=100)
    hold = place(30)
    nonsense: list[tuple[str, Any]] = [
        *(("key", v) for v in ("", None, 7, "a\x00b", "k" * 10_000)),
        *(("actor", v) for v in ("", None, "a\x00", "a\nb", "a" * 201)),
    ]
    if finish is capture:
        nonsense += [("amount", v) for v in (0, -5, 31, True, 12.0, "12", 2**63)]
    for field, value in nonsense:
        with pytest.raises(InvalidHold) as caught:
            finish(hold.id, **{field: value})
        assert caught.value.field == {"key": "idempotency_key"}.get(field, field)
    for hold_id in (hold.id + 1, 0, -1, True, 2**63, str(hold.id), None, float(hold.id)):
        with pytest.raises(UnknownHold):
            finish(hold_id)
    assert figures() == (100, 30, 70)
    assert story(hold.id) == [("placed", 30)]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE hold_events SET amount = 1", "DELETE FROM hold_events", "TRUNCATE hold_events"],
)
def test_the_story_of_a_hold_cannot_be_changed(statement: str) -> None:
    open_account(credits_=100)
    hold = place(30)
    with pytest.raises(DBAPIError) as caught, owner() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(statement))
    assert isinstance(caught.value.orig, psycopg2.errors.RestrictViolation)
    assert story(hold.id) == [("placed", 30)]


# --- at once ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("many_connections")
# --- what else could go wrong -------------------------------------------------------------------


def test_a_capture_whose_key_somebody_else_posted_under_changes_nothing() -> None:
    # Given a hold, and a charge that took its capture's key
    open_account(credits_=100)
    hold = place(30, key="h")
    post_all(Posting("clinic:42", -30, Kind.USAGE, "hold:h:capture", "test"))
    # When it is captured, Then that is a conflict, and the credit is still held until it is voided
    with pytest.raises(IdempotencyConflict):
        capture(hold.id, 30)
    assert figures() == (70, 30, 40)
    void(hold.id)
    assert figures() == (70, 0, 70)
    assert_ledger_is_clean()


def test_a_charge_can_release_no_more_than_is_held() -> None:
    open_account(credits_=100)
    place(20, key="h")
    charge = Posting("clinic:42", -30, Kind.USAGE, "k", "test", releases=21)
    refused = post_all(charge)[0]
    assert isinstance(refused.error, InvalidPosting)
    assert figures() == (100, 20, 80)


def test_holds_that_a_correction_left_short_are_captured_as_far_as_credit_goes() -> None:
    # Given two holds of 50, and a correction that takes half of what covers them
    open_account(credits_=100)
    first, second = place(50, key="a"), place(50, key="b")
    post_all(Posting("clinic:42", -50, Kind.ADJUSTMENT, "wrong", "test"))
    # When both are captured, Then one gets the credit that is there, the other none
    capture(first.id, 50)
    with pytest.raises(InsufficientCredit) as caught:
        capture(second.id, 50)
    assert caught.value.available == 0
    assert figures() == (0, 50, -50)
    assert_ledger_is_clean()


def test_a_charge_that_may_pass_the_limit_never_takes_what_is_held() -> None:
    # Given a hold, and a lead of a product that charges without credit
    open_account(credits_=500)
    hold = place(400)
    charge = take(250, key="t", passes_overdraft_limit=True)
    # When it is charged, Then it is refused while the hold is open
    assert isinstance(post_all(charge)[0].error, InsufficientCredit)
    capture(hold.id, 400)
    assert post_all(charge)[0].balance_after == -150
    assert_ledger_is_clean()


@pytest.mark.parametrize("life", [None, timedelta(hours=2)])
def test_the_same_key_with_another_life_is_a_conflict(life: timedelta | None) -> None:
    open_account(credits_=100)
    place(10, key="h", expires_in=timedelta(hours=1))
    with pytest.raises(IdempotencyConflict) as caught:
        place(10, key="h", expires_in=life)
    assert caught.value.differences == {"expires_in": (timedelta(hours=1), life)}


def test_a_locked_account_does_not_keep_the_sweep_from_others() -> None:
    # Given two accounts whose holds are due, one of them locked by somebody
    with clock.frozen(NOW):
        for ref in ("clinic:1", "clinic:2"):
            open_account(ref, credits_=100)
            place(10, account=ref, key=ref, expires_in=timedelta(hours=1))
    with clock.frozen(NOW + timedelta(hours=2)):
        with transaction() as session:
            session.execute(text("SELECT 1 FROM accounts WHERE ref = 'clinic:1' FOR UPDATE"))
            # When the sweep comes by, Then the other one's hold ends
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(copy_context().run, expire).result() == 1
            assert (figures("clinic:1"), figures("clinic:2")) == ((100, 10, 90), (100, 0, 100))
        # And the first one's with the next turn
        assert expire() == 1


def test_what_becomes_of_a_hold_is_in_the_audit_log() -> None:
    with clock.frozen(NOW):
        open_account(credits_=100)
        voided = place(10, key="a", expires_in=None)
        place(20, key="b", expires_in=timedelta(hours=1))
        void(voided.id)
    with clock.frozen(NOW + timedelta(hours=2)):
        expire()
    found = rows(
        "SELECT action, door, after ->> 'amount', after ->> 'account' FROM billing_audit_log"
        " WHERE subject LIKE 'hold:%' ORDER BY id"
    )
    assert found == [
        ("hold.placed", "cli", "10", "clinic:42"),
        ("hold.placed", "cli", "20", "clinic:42"),
        ("hold.voided", "cli", "10", "clinic:42"),
        ("hold.expired", "cli", "20", "clinic:42"),
    ]


class TestAtOnce:
    def test_a_hold_captured_and_voided_has_one_winner(self) -> None:
        open_account(credits_=10_000)
        captured = 0
        for round_ in range(25):
            hold = place(10, key=f"h{round_}")
            # When 8 captures and 8 voids, each a request of its own, come together
            answers = at_once(
                *(partial((capture, void)[n % 2], hold.id, key=f"{n}") for n in range(16))
            )
            # Then one of them did it, and the others learn how it ended
            winners = [answer for answer in answers if isinstance(answer, Hold)]
            assert len(winners) == 1
            refused = [answer for answer in answers if isinstance(answer, HoldFinished)]
            assert len(refused) == 15
            assert {error.state for error in refused} == {winners[0].state}
            captured += winners[0].captured
            assert len(story(hold.id)) == 2
        assert figures() == (10_000 - captured, 0, 10_000 - captured)
        assert_ledger_is_clean()

    def test_the_same_capture_sixteen_times_is_one_charge(self) -> None:
        open_account(credits_=100)
        hold = place(30)
        answers = at_once(*(lambda: capture(hold.id, 20),) * 16)
        assert [a.captured for a in answers if isinstance(a, Hold)] == [20] * 16
        assert figures() == (80, 0, 80)
        assert len(story(hold.id)) == 3

    def test_a_capture_and_the_sweep_at_the_last_moment(self) -> None:
        open_account(credits_=1_000)
        for round_ in range(10):
            with clock.frozen(NOW):
                hold = place(10, key=f"h{round_}")
                clock.advance(HOUR)
                captured, *ended = at_once(partial(capture, hold.id), *(expire,) * 7)
                # While the capture has the account, sweeps leave it for the next turn.
                ended.append(expire())
            assert isinstance(captured, HoldFinished)
            assert sorted(map(str, ended)) == ["0"] * 7 + ["1"]
        assert figures() == (1_000, 0, 1_000)
        assert_ledger_is_clean()

    def test_sixty_four_holds_against_credit_for_ten(self) -> None:
        open_account(credits_=70, overdraft_limit=30)
        answers = at_once(*(partial(place, 10, key=f"h{n}") for n in range(64)))
        assert sum(isinstance(answer, Hold) for answer in answers) == 10
        assert sum(isinstance(answer, InsufficientCredit) for answer in answers) == 54
        assert rows("SELECT count(*) FROM holds") == [(10,)]
        assert figures() == (70, 100, 0)
        assert_ledger_is_clean()

    def test_charges_and_holds_together_never_pass_the_limit(self) -> None:
        open_account(credits_=50, overdraft_limit=50)
        for round_ in "ab":
            at_once(
                *(
                    partial(place, 7, key=f"{round_}{n}")
                    if n % 2
                    else partial(post_all, take(7, key=f"{round_}{n}"))
                    for n in range(16)
                )
            )
        spent_and_held = figures()[1] + 50 - figures()[0]
        assert spent_and_held == 98
        assert_ledger_is_clean()

    def test_the_same_key_at_once_is_one_hold(self) -> None:
        open_account(credits_=100)
        answers = at_once(*(place,) * 16)
        assert len({a.id for a in answers if isinstance(a, Hold)}) == 1
        assert len([a for a in answers if isinstance(a, Hold)]) == 16
        assert figures() == (100, 30, 70)

    def test_one_key_at_once_on_many_accounts_has_one_winner(self) -> None:
        for n in range(16):
            open_account(f"clinic:{n}", credits_=100)
        for round_ in range(10):
            answers = at_once(
                *(partial(place, 5, key=f"h{round_}", account=f"clinic:{n}") for n in range(16))
            )
            assert len([a for a in answers if isinstance(a, Hold)]) == 1
            refused = [a for a in answers if isinstance(a, IdempotencyConflict)]
            assert len(refused) == 15
            assert all("account" in error.differences for error in refused)
        assert rows("SELECT sum(held), count(*) FILTER (WHERE held = 0) > 0 FROM accounts") == [
            (50, True)
        ]
        assert_ledger_is_clean()


def test_credit_that_comes_in_makes_room_for_a_hold() -> None:
    open_account(credits_=10)
    with pytest.raises(InsufficientCredit):
        place(30)
    post_all(give(20, key="g"))
    place(30)
    assert (balance(), figures()[2]) == (30, 0)

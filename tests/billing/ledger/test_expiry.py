"""Credit that expires: at its time, once, and never what open holds need."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

import clock
from billing import accounts
from billing.calendar import end_of_local_day
from billing.credit import holds
from billing.ledger import InsufficientCredit, InvalidPosting, Kind, Outcome, Posting, expiry
from db.models import Hold
from db.session import transaction
from tests.billing.given import (
    assert_ledger_is_clean,
    balance,
    give,
    open_account,
    post_all,
    rows,
    take,
)

pytestmark = pytest.mark.usefixtures("database")

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
HOUR, DAY, INSTANT = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)


def sweep() -> int:
    with transaction() as session:
        return expiry.expire_due(session)


def place(amount: int, *, key: str = "h", expires_in: timedelta | None = None) -> Hold:
    with transaction() as session:
        return holds.place(
            session, account="clinic:42", amount=amount, idempotency_key=key, actor="test",
            expires_in=expires_in,
        )  # fmt: skip


def expiries() -> Sequence[tuple[object, ...]]:
    """What expired, of which lot, in the order in which it was written."""
    return rows(
        "SELECT o.idempotency_key, t.amount FROM credit_transactions t"
        " JOIN lot_movements m ON m.charge_id = t.id JOIN credit_lots l ON l.id = m.lot_id"
        " JOIN credit_transactions o ON o.id = l.transaction_id"
        " WHERE t.kind = 'expiry' ORDER BY t.account_id, t.version"
    )


def test_the_sweep_lets_go_what_is_past_its_time_and_posts_it_to_breakage() -> None:
    open_account()
    with clock.frozen(NOW):
        post_all(
            give(10, key="soon", expires_at=NOW + HOUR),
            give(20, key="later", expires_at=NOW + DAY),
            give(40, key="forever"),
        )
        post_all(take(3, key="t"))
        clock.advance(HOUR - INSTANT)
        assert sweep() == 0
        clock.advance(INSTANT)
        assert (sweep(), sweep()) == (1, 0)

    assert (expiries(), balance()) == ([("soon", -7)], 60)
    assert rows(
        "SELECT kind, actor, event_at, created_at, balance_after FROM credit_transactions"
        " WHERE kind = 'expiry'"
    ) == [("expiry", "system:expiry", NOW + HOUR, NOW + HOUR, 60)]
    assert rows("SELECT sum(amount) FROM ledger_entries WHERE account = 'breakage'") == [(7,)]
    assert_ledger_is_clean()


def test_a_late_sweep_says_when_the_credit_expired_and_when_it_was_written() -> None:
    open_account()
    with clock.frozen(NOW):
        post_all(give(10, key="g", expires_at=NOW + HOUR))
        clock.advance(9 * DAY)
        sweep()
    assert rows("SELECT event_at, created_at FROM credit_transactions WHERE version = 2") == [
        (NOW + HOUR, NOW + 9 * DAY)
    ]


def test_expired_credit_cannot_be_spent_though_no_sweep_has_come_by() -> None:
    open_account()
    with clock.frozen(NOW):
        post_all(give(10, key="g", expires_at=NOW + HOUR))
        clock.advance(HOUR - INSTANT)
        assert post_all(take(4, key="before"))[0].outcome is Outcome.APPLIED
        # When a charge comes at the very instant at which the rest expires
        clock.advance(INSTANT)
        at_that_instant = post_all(take(1, key="at"))[0]
    # Then there is nothing left for it, and the expiry is on record
    assert isinstance(at_that_instant.error, InsufficientCredit)
    assert at_that_instant.error.available == 0
    assert (expiries(), balance()) == ([("g", -6)], 0)
    assert_ledger_is_clean()


def test_a_hold_cannot_be_placed_on_expired_credit() -> None:
    open_account()
    with clock.frozen(NOW):
        post_all(give(10, key="g", expires_at=NOW + HOUR), give(5, key="f"))
        clock.advance(HOUR)
        with pytest.raises(InsufficientCredit) as caught:
            place(6)
        assert caught.value.available == 5
        place(5)
    assert expiries() == [("g", -10)]
    assert_ledger_is_clean()


def test_what_open_holds_need_stays_and_the_rest_goes_when_they_end() -> None:
    # Given 30 held of 100 that expire, some of which would otherwise be all gone
    open_account()
    with clock.frozen(NOW):
        post_all(give(60, key="a", expires_at=NOW + HOUR), give(40, key="b", expires_at=NOW + DAY))
        one, two = place(20, key="h1"), place(30, key="h2")
        # When the first lot expires, Then all of it goes: the second covers nothing of the holds
        clock.advance(HOUR)
        assert (sweep(), sweep()) == (1, 0)
        assert (expiries(), balance()) == ([("a", -50)], 50)
        clock.advance(DAY)
        assert sweep() == 0
        # When a hold is captured in part, Then what it frees goes with the next sweep
        with transaction() as session:
            holds.capture(session, hold_id=one.id, amount=5, idempotency_key="c", actor="t")
        assert balance() == 45
        assert sweep() == 1
        assert (balance(), expiries()[1:]) == (30, [("a", -5), ("b", -10)])
        # When the last is voided, Then the rest goes
        with transaction() as session:
            holds.void(session, hold_id=two.id, idempotency_key="v", actor="t")
        assert (sweep(), sweep()) == (1, 0)
    assert (balance(), expiries()[3:]) == (0, [("b", -30)])
    assert_ledger_is_clean()


def test_a_hold_may_be_captured_from_credit_that_expired_while_it_was_held() -> None:
    open_account()
    with clock.frozen(NOW):
        post_all(give(10, key="g", expires_at=NOW + HOUR))
        hold = place(10)
        clock.advance(DAY)
        with transaction() as session:
            holds.capture(session, hold_id=hold.id, amount=8, idempotency_key="c", actor="t")
        sweep()
    assert (expiries(), balance()) == ([("g", -2)], 0)
    assert_ledger_is_clean()


def test_lots_expire_in_the_order_of_their_times() -> None:
    open_account()
    with clock.frozen(NOW):
        post_all(
            give(1, key="third", expires_at=NOW + 3 * HOUR),
            give(2, key="first", expires_at=NOW + HOUR, kind=Kind.TOP_UP),
            give(3, key="second", expires_at=NOW + 2 * HOUR, kind=Kind.GRANT),
        )
        clock.advance(DAY)
        assert sweep() == 1
    assert expiries() == [("first", -2), ("second", -3), ("third", -1)]
    assert_ledger_is_clean()


def test_each_account_keeps_its_own_days() -> None:
    # Given credit until the end of the local day of the same moment
    zones = {
        "clinic:in": "Asia/Kolkata",
        "clinic:us": "America/New_York",
        "clinic:eg": "Africa/Cairo",
    }
    noon = datetime(2026, 4, 23, 12, tzinfo=UTC)  # Cairo skips the midnight that follows
    ends = {"clinic:in": (18, 30), "clinic:eg": (22, 0), "clinic:us": (28, 0)}
    with clock.frozen(noon):
        for ref, timezone in zones.items():
            with transaction() as session:
                accounts.create(
                    session, ref=ref, name="Clinic", product="clinic_leads", timezone=timezone
                )
            post_all(give(10, key=ref, account=ref, expires_at=end_of_local_day(noon, timezone)))
        for ref, (hours, minutes) in ends.items():
            end = datetime(2026, 4, 23, tzinfo=UTC) + timedelta(hours=hours, minutes=minutes)
            clock.advance(end - clock.now() - INSTANT)
            assert (sweep(), balance(ref)) == (0, 10)
            clock.advance(INSTANT)
            assert (sweep(), balance(ref)) == (1, 0)
    assert_ledger_is_clean()


def test_a_sweep_of_many_accounts_takes_several_turns() -> None:
    with clock.frozen(NOW):
        for n in range(5):
            open_account(f"clinic:{n}")
            post_all(give(10, key=f"g{n}", account=f"clinic:{n}", expires_at=NOW + HOUR))
        clock.advance(HOUR)
        turns = []
        while True:
            with transaction() as session:
                turns.append(expiry.expire_due(session, limit=2))
            if not turns[-1]:
                break
    assert turns == [2, 2, 1, 0]
    assert rows("SELECT sum(balance) FROM accounts") == [(0,)]


def test_the_most_overdue_accounts_come_first() -> None:
    with clock.frozen(NOW):
        for n, hours in enumerate([3, 1, 4, 2]):
            open_account(f"clinic:{n}")
            post_all(
                give(10, key=f"g{n}", account=f"clinic:{n}", expires_at=NOW + hours * HOUR),
                give(10, key=f"h{n}", account=f"clinic:{n}", expires_at=NOW + 5 * HOUR),
            )
        clock.advance(DAY)
        for left in ([0, 2, 3], [0, 2], [2], []):
            with transaction() as session:
                assert expiry.expire_due(session, limit=1) == 1
            found = rows("SELECT ref FROM accounts WHERE balance > 0 ORDER BY ref")
            assert found == [(f"clinic:{n}",) for n in left]


def test_what_is_due_is_found_by_an_index_however_many_lots_there_are() -> None:
    open_account()
    post_all(*[give(1, key=f"k{n}") for n in range(500)])
    with transaction() as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        plan = session.scalars(
            text("EXPLAIN " + str(expiry._DUE)), {"now": NOW, "limit": 500}
        ).all()
    assert any("ix_credit_lots_expiring" in line for line in plan)


@pytest.mark.parametrize("early", [timedelta(0), INSTANT, 400 * DAY])
def test_credit_that_has_expired_already_is_refused_and_the_others_go_in(early: timedelta) -> None:
    open_account()
    with clock.frozen(NOW):
        late, fine = post_all(
            give(10, key="g", expires_at=NOW - early), give(5, key="f", expires_at=NOW + INSTANT)
        )
    assert isinstance(late.error, InvalidPosting)
    assert late.error.field == "expires_at"
    assert fine.outcome is Outcome.APPLIED
    assert rows("SELECT count(*) FROM credit_transactions") == [(1,)]


def test_credit_repeated_after_it_expired_is_a_repeat() -> None:
    open_account()
    with clock.frozen(NOW):
        grant = give(10, key="g", kind=Kind.GRANT, expires_at=NOW + HOUR)
        post_all(grant)
        clock.advance(DAY)
        assert post_all(grant)[0].outcome is Outcome.REPEATED
        # however its time is written
        in_india = (NOW + HOUR).astimezone(ZoneInfo("Asia/Kolkata"))
        again = give(10, key="g", kind=Kind.GRANT, expires_at=in_india)
        assert post_all(again)[0].outcome is Outcome.REPEATED


def test_a_host_whose_clock_lags_does_not_jam_the_account() -> None:
    # Given a charge of 10, and the other 10 expired by the clock of one host
    open_account()
    with clock.frozen(NOW):
        post_all(give(20, key="g", expires_at=NOW + HOUR))
        post_all(take(10, key="t"))
    with clock.frozen(NOW + HOUR):
        sweep()
    # When another, a little behind, gives the charge back to the lot
    with clock.frozen(NOW + HOUR - INSTANT):
        post_all(Posting("clinic:42", 10, Kind.LEAD_REFUND, "r", "test", reverses="t"))
    # Then it expires as the first part did, and the account goes on
    with clock.frozen(NOW + 2 * HOUR):
        assert post_all(give(1, key="f"))[0].balance_after == 1
    assert expiries() == [("g", -10), ("g", -10)]
    assert_ledger_is_clean()


def test_nobodys_key_stands_in_the_way_of_an_expiry() -> None:
    # Given a charge whose key looks as if it were made for the expiry of a lot
    open_account()
    with clock.frozen(NOW):
        post_all(give(10, key="g", expires_at=NOW + HOUR), give(10, key="f"))
        post_all(take(1, key="g:expiry:9"), take(1, key="g:expiry:8"))
        clock.advance(HOUR)
        assert sweep() == 1
    assert balance() == 10


@pytest.mark.usefixtures("many_connections")
def test_an_expiry_is_posted_once_however_many_write_at_once() -> None:
    open_account()
    with clock.frozen(NOW):
        for round_ in range(5):
            post_all(
                give(10, key=f"g{round_}", expires_at=clock.now() + HOUR),
                give(16, key=f"f{round_}"),
            )
            clock.advance(HOUR)
            together = Barrier(16)

            def write(n: int, round_: int = round_, together: Barrier = together) -> bool:
                together.wait()
                if n % 2:
                    return bool(sweep())
                return post_all(take(2, key=f"{round_}:{n}"))[0].outcome is Outcome.APPLIED

            with ThreadPoolExecutor(16) as pool:
                charged = list(pool.map(write, range(16)))[::2]
            assert charged == [True] * 8
            assert balance() == 0
    assert expiries() == [(f"g{round_}", -10) for round_ in range(5)]
    assert_ledger_is_clean()


def test_a_locked_account_does_not_keep_the_sweep_from_others() -> None:
    # Given two accounts whose credit is past its time, one of them locked by somebody
    with clock.frozen(NOW):
        for ref in ("clinic:1", "clinic:2"):
            open_account(ref)
            post_all(give(10, key=ref, account=ref, expires_at=NOW + timedelta(hours=1)))
    with clock.frozen(NOW + timedelta(hours=2)):
        with transaction() as session:
            session.execute(text("SELECT 1 FROM accounts WHERE ref = 'clinic:1' FOR UPDATE"))
            # When the sweep comes by, Then the other one's credit expires
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(sweep).result() == 1
            assert (balance("clinic:1"), balance("clinic:2")) == (10, 0)
        assert sweep() == 1
    assert balance("clinic:1") == 0

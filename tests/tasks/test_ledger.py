"""The beat's part of the ledger: holds and credit whose time is up."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

import clock
from billing.credit import holds
from billing.ledger import expiry
from billing.verification import daily_check
from db.session import transaction
from tasks import ledger as task
from tests.billing.given import (
    assert_ledger_is_clean,
    at_once,
    balance,
    give,
    open_account,
    post_all,
    rows,
)
from tests.conftest import owner

pytestmark = pytest.mark.usefixtures("database")

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_one_tick_ends_holds_and_then_the_credit_that_they_kept_alive() -> None:
    # Given credit that expires at one o'clock, half of it held until two
    with clock.frozen(NOON):
        open_account()
        post_all(give(100, key="g", expires_at=NOON + HOUR))
        with transaction() as session:
            holds.place(
                session, account="clinic:42", amount=50, idempotency_key="h", actor="test",
                expires_in=2 * HOUR,
            )  # fmt: skip
    # When ticks come at half past one and half past two, each of them twice
    with clock.frozen(NOON + 1.5 * HOUR):
        task.expire.run()
        task.expire.run()
        assert balance() == 50
    with clock.frozen(NOON + 2.5 * HOUR):
        task.expire.run()
        task.expire.run()
    # Then nothing is left, and each part expired once
    assert balance() == 0
    assert rows("SELECT amount FROM credit_transactions WHERE kind = 'expiry' ORDER BY id") == [
        (-50,),
        (-50,),
    ]
    assert_ledger_is_clean()


def test_more_than_one_round_of_accounts_is_worked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    with clock.frozen(NOON):
        for n in range(5):
            open_account(f"clinic:{n}")
            post_all(give(10, key=f"g{n}", account=f"clinic:{n}", expires_at=NOON + HOUR))
    monkeypatch.setattr(expiry.expire_due, "__kwdefaults__", {"limit": 2})
    with clock.frozen(NOON + HOUR):
        task.expire.run()
    assert rows("SELECT sum(balance) FROM accounts") == [(0,)]


# --- the daily proof ----------------------------------------------------------------------------


def checks() -> list[tuple[object, ...]]:
    return list(
        rows(
            "SELECT started_at, finished_at, transactions, breaches FROM ledger_checks ORDER BY id"
        )
    )


def test_the_ledger_is_verified_once_a_day_however_often_beat_ticks() -> None:
    open_account(credits_=100)
    for hours in (0, 0.1, 23.9, 24.1, 24.2):
        with clock.frozen(NOON + hours * HOUR):
            task.check.run()
    assert checks() == [
        (NOON, NOON, 1, 0),
        (NOON + 24.1 * HOUR, NOON + 24.1 * HOUR, 1, 0),
    ]


def test_a_check_that_died_is_done_again_an_hour_later() -> None:
    with transaction() as session:
        assert daily_check.start_if_due(session, now=NOON) is not None
    for minutes in (30, 61, 62):
        with clock.frozen(NOON + timedelta(minutes=minutes)):
            task.check.run()
    assert [(start, end is None) for start, end, *_ in checks()] == [
        (NOON, True),
        (NOON + timedelta(minutes=61), False),
    ]


def test_two_beats_start_one_check(many_connections: None) -> None:
    def start() -> int | None:
        with transaction() as session:
            return daily_check.start_if_due(session, now=NOON)

    assert [found is None for found in at_once(*(start,) * 8)].count(False) == 1


def test_every_breach_is_logged_and_counted() -> None:
    open_account(credits_=100)
    with owner() as connection:
        connection.execute(text("UPDATE accounts SET balance = 99"))
    with capture_logs() as logged, clock.frozen(NOON):
        task.check.run()
    breaches = [line for line in logged if line["event"] == "ledger breach"]
    assert {line["account"] for line in breaches} == {"clinic:42", "all"}
    assert checks() == [(NOON, NOON, 1, len(breaches))]

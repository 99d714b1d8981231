"""The beat's part of the ledger: holds and credit whose time is up."""

from datetime import UTC, datetime, timedelta

import pytest

import clock
from billing import expiry, holds
from db.session import transaction
from tasks import ledger as task
from tests.billing.helpers import (
    assert_ledger_is_clean,
    balance,
    give,
    open_account,
    post_all,
    rows,
)

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

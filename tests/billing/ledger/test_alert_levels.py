"""Balance alerts: one for each crossing, whoever charges and however charges are batched."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

import clock
from billing import accounts
from billing.ledger import Kind, Outcome, alert_levels, expire_lots, post
from billing.ledger.alert_levels import Level
from db.pages import Wanted
from db.session import transaction
from tests.billing.given import assert_ledger_is_clean, give, open_account, post_all, rows, take

pytestmark = pytest.mark.usefixtures("database")


def alerts() -> list[tuple[object, ...]]:
    """The alerts of the account in order: topic, level, balance."""
    return list(
        rows(
            "SELECT topic, payload ->> 'level', (payload ->> 'balance')::bigint"
            " FROM outbox_events WHERE subject = 'account:clinic:42' ORDER BY id"
        )
    )


def level(account: str = "clinic:42") -> str:
    return str(rows(f"SELECT alert_level FROM accounts WHERE ref = '{account}'")[0][0])


@pytest.mark.parametrize(
    ("balance", "expected"),
    [(501, "ok"), (500, "low"), (1, "low"), (0, "exhausted"), (-1, "in_debt")],
)
def test_the_level_of_a_balance(balance: int, expected: str) -> None:
    assert alert_levels.level_of(balance, 500) == expected


def test_no_low_balance_goes_from_enough_to_nothing() -> None:
    assert [alert_levels.level_of(balance, 0) for balance in (1, 0)] == [Level.OK, Level.EXHAUSTED]


def test_each_crossing_is_told_once_and_credit_arms_it_again() -> None:
    # Given an account with enough: its first credit is not reported
    open_account(credits_=1_000)
    assert (level(), alerts()) == ("ok", [])
    # When it is charged down to nothing
    for number in range(4):
        post_all(take(250, key=f"t{number}"))
    # Then each level is reported when it is reached, and not again
    down = [("balance.low", "low", 500), ("balance.exhausted", "exhausted", 0)]
    assert alerts() == down
    # When credit comes back, in two steps, and goes again
    post_all(give(300, key="a"))
    post_all(give(300, key="b"))
    post_all(take(200, key="u"))
    assert alerts() == [
        *down,
        ("balance.recovered", "low", 300),
        ("balance.recovered", "ok", 600),
        ("balance.low", "low", 400),
    ]
    assert_ledger_is_clean()


def test_charges_of_one_batch_are_told_like_charges_one_by_one() -> None:
    open_account(credits_=1_000)
    post_all(*(take(250, key=f"t{number}") for number in range(4)), give(2_000, key="g"))
    assert alerts() == [
        ("balance.low", "low", 500),
        ("balance.exhausted", "exhausted", 0),
        ("balance.recovered", "ok", 2_000),
    ]


def test_debt_is_a_level_of_its_own_and_a_smaller_debt_is_no_recovery() -> None:
    open_account(credits_=600, overdraft_limit=1_000)
    post_all(take(700, key="at once"))
    post_all(give(50, key="a"))
    post_all(give(50, key="b"))
    assert level() == "exhausted"
    post_all(take(1, key="again"))
    post_all(give(10, key="c"))
    assert alerts() == [
        ("balance.exhausted", "in_debt", -100),
        ("balance.in_debt", "in_debt", -1),
        ("balance.recovered", "low", 9),
    ]


def test_a_repeat_and_a_refusal_tell_nothing() -> None:
    open_account(credits_=600)
    charge = take(200, key="t")
    post_all(charge)
    post_all(charge, take(401, key="too much"))
    assert alerts() == [("balance.low", "low", 400)]


def test_a_rollback_tells_nothing_and_leaves_the_level() -> None:
    open_account(credits_=600)
    with pytest.raises(ZeroDivisionError), transaction() as session:
        post(session, [take(200, key="t")])
        raise ZeroDivisionError
    assert (alerts(), level()) == ([], "ok")


def test_sixteen_writers_make_one_crossing() -> None:
    open_account(credits_=1_000)
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda n: post_all(take(50, key=f"t{n}"))[0], range(16)))
    assert {result.outcome for result in results} == {Outcome.APPLIED}
    assert alerts() == [("balance.low", "low", 500)]


def test_an_account_may_have_a_low_balance_of_its_own() -> None:
    open_account(credits_=1_000)
    # When the balance is low by the new measure, Then that is reported
    with transaction() as session:
        accounts.update(session, "clinic:42", low_balance=2_000)
    assert (level(), alerts()) == ("low", [("balance.low", "low", 1_000)])
    # When it is no longer, Then that is reported too, and the same again changes nothing
    for _ in range(2):
        with transaction() as session:
            accounts.update(session, "clinic:42", low_balance=100)
    assert alerts()[1:] == [("balance.recovered", "ok", 1_000)]
    post_all(take(800, key="t"))
    post_all(take(150, key="u"))
    assert alerts()[2:] == [("balance.low", "low", 50)]


def test_a_low_balance_given_up_is_told_like_any_other_and_none_given_changes_nothing() -> None:
    open_account(credits_=1_000)
    with transaction() as session:
        accounts.update(session, "clinic:42", low_balance=2_000)
    # When nothing is said of it, Then it stays
    with transaction() as session:
        accounts.update(session, "clinic:42", overdraft_limit=10)
    assert rows("SELECT low_balance FROM accounts WHERE ref = 'clinic:42'") == [(2_000,)]
    # When the catalog's is to hold, Then the balance is enough again
    with transaction() as session:
        accounts.update(session, "clinic:42", low_balance=None)
    assert rows("SELECT low_balance FROM accounts WHERE ref = 'clinic:42'") == [(None,)]
    assert (level(), alerts()[1:]) == ("ok", [("balance.recovered", "ok", 1_000)])


def test_what_expires_is_told_like_what_is_spent() -> None:
    start = datetime(2026, 11, 21, 8, tzinfo=UTC)
    with clock.frozen(start):
        open_account()
        ends = start + timedelta(days=1)
        post_all(give(1_000, key="grant", kind=Kind.GRANT, expires_at=ends))
    with clock.frozen(ends), transaction() as session:
        expire_lots(session, {"clinic:42"})
    assert alerts() == [("balance.exhausted", "exhausted", 0)]


def test_newest_alerts_of_one_account() -> None:
    for ref in ("clinic:1", "clinic:2"):
        open_account(ref, credits_=600)
        post_all(take(200, key=f"{ref}:t", account=ref))
    with transaction() as session:
        found = alert_levels.newest(session, Wanted(20), account="clinic:1")
        assert [(event.topic, account and account.ref) for event, account in found] == [
            ("balance.low", "clinic:1")
        ]
        assert len(alert_levels.newest(session, Wanted(20))) == 2

"""Many writers at once, on real PostgreSQL: no deadlock, no lost credit, no limit passed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from billing.errors import IdempotencyConflict
from billing.ledger import Kind, Outcome, Posting, PostingResult
from tests.billing.given import (
    assert_ledger_is_clean,
    balance,
    give,
    open_account,
    post_all,
    rows,
    take,
)

pytestmark = pytest.mark.usefixtures("database", "many_connections")

WRITERS = 16


def at_once(
    batches: Callable[[int], list[list[Posting]]],
) -> list[list[PostingResult]]:
    """Each of 16 writers posts its batches, starting together; all results, writer by writer."""
    together = Barrier(WRITERS)

    def write(number: int) -> list[PostingResult]:
        together.wait()
        return [result for batch in batches(number) for result in post_all(*batch)]

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(write, range(WRITERS)))


def test_sixteen_writers_on_one_account_lose_nothing_and_never_pass_the_limit() -> None:
    # Given credit and overdraft for 100 of 160 charges
    open_account(credits_=700, overdraft_limit=300)
    # When 16 writers charge 10 each, ten times
    results = at_once(lambda n: [[take(10, key=f"{n}:{i}")] for i in range(10)])
    # Then exactly 100 were applied
    applied = [r for own in results for r in own if r.outcome is Outcome.APPLIED]
    assert len(applied) == 100
    assert balance() == -300
    assert sorted(r.version for r in applied) == list(range(2, 102))
    assert_ledger_is_clean()


def test_writers_that_cross_in_opposite_order_do_not_deadlock() -> None:
    refs = [f"clinic:{i}" for i in range(8)]
    for ref in refs:
        open_account(ref, credits_=10_000)

    def batches(number: int) -> list[list[Posting]]:
        order = refs if number % 2 else refs[::-1]
        return [
            [take(1, key=f"{number}:{i}:{ref}", account=ref) for ref in order] for i in range(5)
        ]

    results = at_once(batches)
    assert all(r.outcome is Outcome.APPLIED for own in results for r in own)
    assert [balance(ref) for ref in refs] == [10_000 - 16 * 5] * 8
    assert_ledger_is_clean()


def test_the_same_keys_in_opposite_order_are_applied_once_each() -> None:
    for ref in ("clinic:1", "clinic:2"):
        open_account(ref, credits_=1_000)
    postings = [take(1, key=f"k{i}", account=f"clinic:{i % 2 + 1}") for i in range(40)]

    results = at_once(lambda n: [postings if n % 2 else postings[::-1]])
    outcomes = [r.outcome for own in results for r in own]
    assert outcomes.count(Outcome.APPLIED) == 40
    assert outcomes.count(Outcome.REPEATED) == 40 * 15
    assert balance("clinic:1") + balance("clinic:2") == 2_000 - 40
    assert_ledger_is_clean()


def test_one_key_on_sixteen_accounts_at_once_has_one_winner() -> None:
    for n in range(WRITERS):
        open_account(f"clinic:{n}", credits_=100)
    # Each writer's key is also wanted by the others, so that no account lock keeps them apart.
    results = at_once(
        lambda n: [
            [
                take(7, key=f"key {i}", account=f"clinic:{n}"),
                # Computed anew with the loser's batch: it must not count twice.
                take(1, key=f"own {n} {i}", account=f"clinic:{n}"),
            ]
            for i in range(10)
        ]
    )
    for i in range(10):
        of_key = [own[2 * i] for own in results]
        assert sum(r.outcome is Outcome.APPLIED for r in of_key) == 1
        assert sum(isinstance(r.error, IdempotencyConflict) for r in of_key) == 15
    assert rows("SELECT sum(balance) FROM accounts") == [(1_600 - 70 - 160,)]
    assert_ledger_is_clean()


@pytest.mark.parametrize("amount", [-7, -150, 7], ids=["charge", "charge into debt", "credit"])
def test_one_key_alone_on_sixteen_accounts_at_once_has_one_winner(amount: int) -> None:
    # Given postings that are one a transaction: each writer's key is wanted by all the others
    for n in range(WRITERS):
        open_account(f"clinic:{n}", credits_=100, overdraft_limit=1_000)
    kind = Kind.GOODWILL if amount > 0 else Kind.USAGE

    results = at_once(
        lambda n: [[Posting(f"clinic:{n}", amount, kind, f"key {i}", "test")] for i in range(5)]
    )

    # Then each key is applied once, and its losers have written nothing
    for i in range(5):
        of_key = [own[i] for own in results]
        assert sum(r.outcome is Outcome.APPLIED for r in of_key) == 1
        assert sum(isinstance(r.error, IdempotencyConflict) for r in of_key) == 15
    assert rows("SELECT sum(balance) FROM accounts") == [(1_600 + 5 * amount,)]
    assert_ledger_is_clean()


def test_credit_and_charges_at_once_pay_every_debt() -> None:
    open_account(overdraft_limit=10_000)
    at_once(
        lambda n: [
            [take(30, key=f"t{n}:{i}") if (n + i) % 2 else give(30, key=f"g{n}:{i}")]
            for i in range(10)
        ]
    )
    assert balance() == 0
    assert_ledger_is_clean()

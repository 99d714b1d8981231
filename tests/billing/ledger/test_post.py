"""`post`, the only writer of credit: each behaviour on real PostgreSQL."""

from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import clock
from billing.credit import corrections
from billing.errors import IdempotencyConflict, UnknownAccount
from billing.ledger import (
    KIND_RULES,
    InsufficientCredit,
    InvalidPosting,
    Kind,
    Outcome,
    Posting,
    SecondPost,
    lock_accounts,
    post,
    post_new_credit,
    post_to_locked,
)
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
from tests.conftest import owner

pytestmark = pytest.mark.usefixtures("database")


def test_a_credit_and_a_charge_move_the_balance_and_leave_a_chained_history() -> None:
    open_account()
    gave, took = post_all(give(1_000, key="g"), take(180, key="t"))

    assert (gave.outcome, gave.version, gave.balance_after) == (Outcome.APPLIED, 1, 1_000)
    assert (took.outcome, took.version, took.balance_after) == (Outcome.APPLIED, 2, 820)
    assert balance() == 820
    assert_ledger_is_clean()


def test_the_same_key_and_content_is_applied_once_and_answers_the_first_result() -> None:
    open_account()
    first = post_all(give(1_000, key="g"))[0]
    post_all(take(1, key="t"))
    again = post_all(give(1_000, key="g"))[0]

    assert again.outcome is Outcome.REPEATED
    assert (again.transaction_id, again.version, again.balance_after) == (
        first.transaction_id, first.version, first.balance_after,
    )  # fmt: skip
    assert balance() == 999
    assert_ledger_is_clean()


def test_a_key_twice_in_one_batch_is_applied_once() -> None:
    open_account(credits_=100)
    first, second, other = post_all(take(10, key="t"), take(10, key="t"), take(11, key="t"))

    assert (first.outcome, second.outcome) == (Outcome.APPLIED, Outcome.REPEATED)
    assert isinstance(other.error, IdempotencyConflict)
    assert balance() == 90


@pytest.mark.parametrize(
    ("again", "field"),
    [
        (take(11, key="t"), "amount"),
        (take(10, key="t", account="clinic:43"), "account"),
        (take(10, key="t", description="other"), "description"),
        (take(10, key="t", lead_id="L-2"), "lead_id"),
        (take(10, key="t", payment_id="pay_2"), "payment_id"),
        (give(10, key="t"), "kind"),
    ],
)
def test_the_same_key_with_other_content_is_a_conflict_that_names_the_field(
    again: Posting, field: str
) -> None:
    open_account(credits_=100)
    open_account("clinic:43", credits_=100)
    post_all(take(10, key="t"))
    result = post_all(again)[0]

    assert isinstance(result.error, IdempotencyConflict)
    assert field in result.error.differences
    assert field in str(result.error)
    assert (balance(), balance("clinic:43")) == (90, 100)


def test_who_asked_and_when_it_happened_are_not_part_of_what_a_key_names() -> None:
    open_account(credits_=100)
    yesterday = clock.now() - timedelta(days=1)
    post_all(take(10, key="t"))
    again = post_all(take(10, key="t", event_at=yesterday))[0]
    assert again.outcome is Outcome.REPEATED


def test_one_refusal_does_not_stop_the_others_of_a_batch() -> None:
    open_account(credits_=100)
    unknown, short, fine = post_all(
        take(1, key="a", account="clinic:none"), take(101, key="b"), take(100, key="c")
    )

    assert isinstance(unknown.error, UnknownAccount)
    assert isinstance(short.error, InsufficientCredit)
    assert (short.error.needed, short.error.available) == (101, 100)
    assert fine.outcome is Outcome.APPLIED
    assert balance() == 0
    assert_ledger_is_clean()


def test_what_was_refused_may_be_tried_again_under_its_key() -> None:
    open_account(credits_=100)
    assert post_all(take(150, key="t"))[0].error is not None
    post_all(give(50, key="g"))
    assert post_all(take(150, key="t"))[0].outcome is Outcome.APPLIED
    assert balance() == 0


def test_an_error_in_the_callers_transaction_takes_everything_back() -> None:
    open_account(credits_=100)
    with pytest.raises(RuntimeError, match="after the post"), transaction() as session:
        post(session, [take(10, key="t")])
        raise RuntimeError("after the post")
    assert balance() == 100
    assert rows("SELECT 1 FROM credit_transactions WHERE idempotency_key = 't'") == []


def test_a_second_post_in_one_transaction_is_refused() -> None:
    open_account(credits_=100)
    with pytest.raises(SecondPost), transaction() as session:
        post(session, [take(10, key="a")])
        post(session, [take(10, key="b")])
    assert balance() == 100


def test_posting_nothing_does_nothing() -> None:
    assert post_all() == []


def test_the_times_of_a_row_are_when_it_happened_and_when_it_was_written() -> None:
    open_account()
    written = datetime(2026, 11, 21, 10, 0, 0, 5, tzinfo=UTC)
    happened = written - timedelta(hours=3)
    with clock.frozen(written):
        post_all(give(5, key="a", event_at=happened), give(5, key="b"))
    assert rows("SELECT event_at, created_at FROM credit_transactions ORDER BY version") == [
        (happened, written),
        (written, written),
    ]


# --- nonsense has a typed error and changes nothing ---------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": -5}, "amount"),  # a gift must be positive
        ({"amount": True}, "amount"),
        ({"amount": 1.0}, "amount"),
        ({"amount": "5"}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": 2**63}, "amount"),
        ({"amount": 10**12 + 1}, "amount"),
        ({"kind": "goodwill"}, "kind"),
        ({"kind": "no such kind"}, "kind"),
        ({"kind": ["goodwill"]}, "kind"),
        ({"kind": Kind.LEAD_CHARGE}, "amount"),  # a charge must be negative
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "   "}, "idempotency_key"),
        ({"idempotency_key": "k" * 10_000}, "idempotency_key"),
        ({"idempotency_key": None}, "idempotency_key"),
        ({"idempotency_key": "a\x00b"}, "idempotency_key"),
        ({"idempotency_key": "a\nb"}, "idempotency_key"),
        ({"account": ""}, "account"),
        ({"account": 42}, "account"),
        ({"account": "clinic:42\x00"}, "account"),
        ({"actor": ""}, "actor"),
        ({"description": "x" * 1_001}, "description"),
        ({"description": "a\ud800"}, "description"),
        ({"description": None}, "description"),
        ({"lead_id": ""}, "lead_id"),
        ({"lead_id": 5}, "lead_id"),
        ({"payment_id": "p" * 201}, "payment_id"),
        ({"event_at": datetime(2026, 1, 1)}, "event_at"),  # noqa: DTZ001 - no zone, on purpose
        ({"event_at": "2026-01-01"}, "event_at"),
        ({"event_at": datetime.max.replace(tzinfo=UTC)}, "event_at"),
        ({"expires_at": datetime(2027, 1, 1)}, "expires_at"),  # noqa: DTZ001
    ],
)
def test_a_posting_that_no_ledger_could_take_names_its_field(
    changes: dict[str, object], field: str
) -> None:
    open_account(credits_=100)
    good = {
        "account": "clinic:42", "amount": 5, "kind": Kind.GOODWILL, "idempotency_key": "g",
        "actor": "test",
    }  # fmt: skip
    with pytest.raises(InvalidPosting) as caught:
        post_all(give(1, key="fine"), Posting(**(good | changes)))  # type: ignore[arg-type]
    assert caught.value.field == field
    assert balance() == 100
    assert rows("SELECT count(*) FROM credit_transactions") == [(1,)]


def test_an_expiry_is_for_credit_that_makes_a_lot_only() -> None:
    later = clock.now() + timedelta(days=1)
    refund = Posting("clinic:42", 5, Kind.LEAD_REFUND, "r", "ops", expires_at=later, reverses="t")
    write_off = Posting("clinic:42", 5, Kind.WRITE_OFF, "w", "ops", expires_at=later)
    for posting in (take(5, key="t", expires_at=later), refund, write_off):
        with pytest.raises(InvalidPosting, match="expires_at"):
            post_all(posting)


@pytest.mark.parametrize(("amount", "reason"), [(0, "why"), (-5, "why"), (5, " ")])
def test_an_admin_credit_needs_an_amount_and_a_reason(amount: int, reason: str) -> None:
    open_account()
    with pytest.raises(InvalidPosting), transaction() as session:
        corrections.credit(
            session, account="clinic:42", amount=amount, reason=reason, actor="a",
            idempotency_key="k",
        )  # fmt: skip
    assert balance() == 0


# --- the database holds its own line ------------------------------------------------------------


@pytest.mark.parametrize("table", ["credit_transactions", "lot_movements"])
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET amount = amount + 1", "DELETE FROM {}", "TRUNCATE {} CASCADE"]
)
def test_not_even_the_owner_changes_or_removes_a_row(table: str, statement: str) -> None:
    open_account(credits_=100)
    post_all(take(10, key="t"))
    with pytest.raises(DBAPIError) as caught, owner() as connection:
        connection.execute(text(statement.format(table)))
    assert isinstance(caught.value.orig, psycopg2.errors.RestrictViolation)
    assert_ledger_is_clean()


def test_the_append_only_trigger_fires_for_a_replica_role_too() -> None:
    open_account(credits_=100)
    with pytest.raises(DBAPIError, match="append-only"), owner() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("UPDATE credit_transactions SET amount = 7"))


def test_every_kind_has_its_house_account_in_the_database() -> None:
    in_code = {(kind.value, rule.house_account) for kind, rule in KIND_RULES.items()}
    assert set(rows("SELECT kind, house_account FROM transaction_kinds")) == in_code


def test_both_sides_of_every_row_sum_to_zero() -> None:
    open_account()
    post_all(
        give(1_000, key="a", kind=Kind.TOP_UP),
        give(100, key="b", kind=Kind.BONUS),
        take(180, key="c"),
    )
    assert rows("SELECT account, sum(amount) FROM ledger_entries GROUP BY 1 ORDER BY 1") == [
        ("clinic:42", 920),
        ("funding:payments", -1_000),
        ("promotions:bonus", -100),
        ("revenue:leads", 180),
    ]


@pytest.mark.parametrize("key", ["lead:L-1:charge", "grant:clinic:42:2026-11", "razorpay:pay_1"])
def test_an_admin_credit_cannot_take_a_key_that_a_rule_makes(key: str) -> None:
    open_account()
    with pytest.raises(InvalidPosting, match="must not begin with"), transaction() as session:
        corrections.credit(
            session, account="clinic:42", amount=5, reason="r", actor="a", idempotency_key=key
        )
    assert balance() == 0


def test_results_are_found_by_the_key_of_their_posting() -> None:
    open_account()
    with transaction() as session:
        results = post(session, [give(100, key="g"), take(30, key="t"), take(30, key="t")])

    assert results.of("t") is results[1]
    assert (results[1].outcome, results[2].outcome) == (Outcome.APPLIED, Outcome.REPEATED)
    with pytest.raises(KeyError):
        results.of("other")


def test_a_post_to_locked_accounts_applies_and_repeats_as_any_other() -> None:
    open_account(credits_=100)
    with transaction() as session:
        book = lock_accounts(session, [account_id()])["clinic:42"]
        first = post_to_locked(session, [book], [take(30, key="t")])[0]
    with transaction() as session:
        book = lock_accounts(session, [account_id()])["clinic:42"]
        again = post_to_locked(session, [book], [take(30, key="t")])[0]

    assert (first.outcome, again.outcome) == (Outcome.APPLIED, Outcome.REPEATED)
    assert balance() == 70
    assert_ledger_is_clean()


def test_new_credit_under_a_key_that_is_applied_is_a_repeat() -> None:
    open_account()
    post_all(give(100, key="g"))
    with transaction() as session:
        books = lock_accounts(session, [account_id()])
        results = post_new_credit(session, books.values(), [give(100, key="g"), give(5, key="h")])

    assert [result.outcome for result in results] == [Outcome.REPEATED, Outcome.APPLIED]
    assert balance() == 105
    assert_ledger_is_clean()


def test_a_charge_among_new_credit_is_looked_up_first() -> None:
    # Given a charge that took all there was
    open_account(credits_=100)
    post_all(take(100, key="t"))

    # When it is posted again with new credit: without a look it would be refused
    with transaction() as session:
        books = lock_accounts(session, [account_id()])
        results = post_new_credit(session, books.values(), [take(100, key="t"), give(5, key="g")])

    assert [result.outcome for result in results] == [Outcome.REPEATED, Outcome.APPLIED]
    assert balance() == 5


def account_id() -> int:
    [(id_,)] = rows("SELECT id FROM accounts WHERE ref = 'clinic:42'")
    assert isinstance(id_, int)
    return id_

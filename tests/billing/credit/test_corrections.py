"""Corrections: adjust, write off, and give a charge back to the very lots it came from."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

import clock
from billing import accounts
from billing.credit import corrections
from billing.errors import IdempotencyConflict, UnknownAccount
from billing.ledger import (
    InsufficientCredit,
    InvalidPosting,
    Kind,
    NothingToWriteOff,
    Outcome,
    Posting,
    PostingResult,
    ReversalTooLarge,
    UnknownCharge,
)
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

pytestmark = pytest.mark.usefixtures("database")

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)


def by_hand(
    function: Callable[..., PostingResult], amount: Any, *, key: Any = "k", **more: Any
) -> PostingResult:
    fields = {"account": "clinic:42", "reason": "wrong number", "actor": "ops", **more}
    with transaction() as session:
        return function(session, amount=amount, idempotency_key=key, **fields)


def reverse(
    charge_key: Any = "t", amount: Any = None, *, key: Any = "r", reason: Any = "wrong number"
) -> PostingResult:
    with transaction() as session:
        return corrections.reverse(
            session, charge_key=charge_key, amount=amount, reason=reason, actor="ops",
            idempotency_key=key,
        )  # fmt: skip


def refund(amount: int, *, of: str = "t", key: str = "r", **more: Any) -> Posting:
    """A posting that gives a lead charge back."""
    fields = {"account": "clinic:42", "kind": Kind.LEAD_REFUND, "actor": "test", **more}
    return Posting(amount=amount, idempotency_key=key, reverses=of, **fields)


def lots() -> dict[object, object]:
    """Key of the credit that made a lot -> what remains of it."""
    return dict(
        rows(
            "SELECT t.idempotency_key, l.remaining FROM credit_lots l"
            " JOIN credit_transactions t ON t.id = l.transaction_id ORDER BY l.id"
        )  # type: ignore[arg-type]
    )


def debts() -> dict[object, object]:
    return dict(
        rows(
            "SELECT t.idempotency_key, d.remaining FROM credit_debts d"
            " JOIN credit_transactions t ON t.id = d.charge_id WHERE d.settled_at IS NULL"
        )  # type: ignore[arg-type]
    )


# --- adjust -------------------------------------------------------------------------------------


def test_an_adjustment_adds_goodwill_or_takes_in_the_burn_order() -> None:
    open_account(credits_=100)
    assert by_hand(corrections.adjust, 20, key="a").balance_after == 120
    assert by_hand(corrections.adjust, -110, key="b").balance_after == 10
    assert lots() == {"opening:clinic:42": 0, "a": 10}
    assert rows(
        "SELECT amount, kind, actor, description FROM credit_transactions WHERE version > 1"
        " ORDER BY version"
    ) == [
        (20, "adjustment", "ops", "wrong number"),
        (-110, "adjustment", "ops", "wrong number"),
    ]
    assert_ledger_is_clean()


def test_an_adjustment_may_pass_the_overdraft_limit_and_what_is_held() -> None:
    open_account(credits_=10, overdraft_limit=5)
    assert by_hand(corrections.adjust, -40).balance_after == -30
    assert debts() == {"k": 30}
    assert isinstance(post_all(take(1, key="t"))[0].error, InsufficientCredit)
    assert_ledger_is_clean()


def test_an_adjustment_pays_debt_first() -> None:
    open_account(overdraft_limit=50)
    post_all(take(30, key="t"))
    by_hand(corrections.adjust, 40)
    assert (debts(), lots(), balance()) == ({}, {"k": 10}, 10)
    assert_ledger_is_clean()


@pytest.mark.parametrize("function", [corrections.credit, corrections.adjust])
def test_a_correction_is_made_once_and_other_content_is_a_conflict(
    function: Callable[..., PostingResult],
) -> None:
    open_account()
    open_account("clinic:43")
    first = by_hand(function, 20)
    again = by_hand(function, 20, actor="somebody else")
    assert (again.outcome, again.transaction_id) == (Outcome.REPEATED, first.transaction_id)
    for field, changes in (
        ("amount", {"amount": 21}),
        ("description", {"reason": "other"}),
        ("account", {"account": "clinic:43"}),
    ):
        with pytest.raises(IdempotencyConflict) as caught:
            by_hand(function, **{"amount": 20, **changes})
        assert set(caught.value.differences) == {field}
    assert (balance(), balance("clinic:43")) == (20, 0)


@pytest.mark.parametrize(
    "function", [corrections.credit, corrections.adjust, corrections.write_off]
)
def test_a_correction_that_makes_no_sense_names_its_field_and_changes_nothing(
    function: Callable[..., PostingResult],
) -> None:
    open_account(overdraft_limit=100)
    post_all(take(50, key="t"))
    amounts: list[Any] = [0, True, 1.0, "5", None, 2**63, 10**12 + 1]
    if function is not corrections.adjust:
        amounts.append(-5)
    nonsense: list[tuple[str, Any]] = [
        *(("amount", value) for value in amounts),
        *(("account", value) for value in ("", None, 42, "c\x00")),
        *(("reason", value) for value in ("", "  ", None, 7, "a\x00", "a\nb", "x" * 1_001)),
        *(("actor", value) for value in ("", None, "a\x00")),
        *(("key", value) for value in ("", None, 7, "a\x00", "k" * 10_000)),
        *(("key", f"{value}1") for value in corrections.RESERVED_KEY_PREFIXES),
    ]
    for field, value in nonsense:
        with pytest.raises(InvalidPosting) as caught:
            by_hand(function, **{"amount": 5, field: value})
        assert caught.value.field == {"key": "idempotency_key"}.get(field, field)
    with pytest.raises(UnknownAccount):
        by_hand(function, 5, account="clinic:none")
    assert rows("SELECT count(*) FROM credit_transactions") == [(1,)]


# --- write off ----------------------------------------------------------------------------------


def test_debt_is_written_off_oldest_first_wholly_or_in_part() -> None:
    open_account(overdraft_limit=100)
    post_all(take(30, key="older"))
    post_all(take(20, key="younger"))
    assert by_hand(corrections.write_off, 35, key="a").balance_after == -15
    assert debts() == {"younger": 15}
    assert by_hand(corrections.write_off, 15, key="b").balance_after == 0
    assert (debts(), lots()) == ({}, {"a": 0, "b": 0})
    assert rows(
        "SELECT account, sum(amount) FROM ledger_entries WHERE side = 'house' GROUP BY 1 ORDER BY 1"
    ) == [("adjustments", -50), ("revenue:leads", 50)]
    assert_ledger_is_clean()


@pytest.mark.parametrize(("opening", "owed"), [(0, 30), (100, 0)])
def test_no_more_is_written_off_than_is_owed(opening: int, owed: int) -> None:
    open_account(credits_=opening, overdraft_limit=30)
    post_all(take(30, key="t"))
    with pytest.raises(NothingToWriteOff) as caught:
        by_hand(corrections.write_off, 31)
    assert (caught.value.asked, caught.value.debt) == (31, owed)
    assert balance() == (opening - 30)


def test_a_write_off_is_made_once() -> None:
    open_account(overdraft_limit=100)
    post_all(take(30, key="t"))
    by_hand(corrections.write_off, 30)
    assert by_hand(corrections.write_off, 30).outcome is Outcome.REPEATED
    with pytest.raises(IdempotencyConflict):
        by_hand(corrections.write_off, 29)
    assert balance() == 0


# --- reverse ------------------------------------------------------------------------------------


def test_a_charge_comes_back_to_the_very_lots_it_came_from() -> None:
    # Given a charge that took from three lots
    open_account()
    soon = clock.now() + timedelta(days=9)
    post_all(
        give(10, key="purchase", kind=Kind.TOP_UP),
        give(10, key="bonus", kind=Kind.BONUS),
        give(10, key="soon", expires_at=soon),
    )
    post_all(take(25, key="t", lead_id="L-1"))
    assert lots() == {"purchase": 5, "bonus": 0, "soon": 0}
    # When it is given back
    result = reverse()
    # Then each lot has what it had, and the row names the charge and its lead
    assert (result.outcome, result.balance_after) == (Outcome.APPLIED, 30)
    assert lots() == {"purchase": 10, "bonus": 10, "soon": 10}
    assert rows(
        "SELECT r.amount, r.kind, r.lead_id, r.description, r.actor, c.idempotency_key"
        " FROM credit_transactions r JOIN credit_transactions c ON c.id = r.reverses_id"
    ) == [(25, "lead_refund", "L-1", "wrong number", "ops", "t")]
    assert_ledger_is_clean()


def test_parts_come_back_what_burns_last_first_and_never_more_than_was_taken() -> None:
    open_account()
    post_all(give(10, key="bonus", kind=Kind.BONUS), give(20, key="bought", kind=Kind.TOP_UP))
    post_all(take(25, key="t"))
    for number, (amount, expected) in enumerate(
        [
            (10, {"bonus": 0, "bought": 15}),
            (8, {"bonus": 3, "bought": 20}),
            (7, {"bonus": 10, "bought": 20}),
        ]
    ):
        reverse(amount=amount, key=f"r{number}")
        assert lots() == expected
        assert_ledger_is_clean()
    for more in (1, None):
        with pytest.raises(ReversalTooLarge) as caught:
            reverse(amount=more, key="more")
        assert caught.value.left == 0
    assert balance() == 30


def test_more_than_is_left_is_refused_and_says_what_is_left() -> None:
    open_account(credits_=100)
    post_all(take(25, key="t"))
    reverse(amount=10, key="a")
    with pytest.raises(ReversalTooLarge) as caught:
        reverse(amount=16, key="b")
    assert (caught.value.key, caught.value.asked, caught.value.left) == ("t", 16, 15)
    assert reverse(key="c").balance_after == 100
    assert_ledger_is_clean()


def test_reversing_again_with_the_same_key_is_one_reversal() -> None:
    open_account(credits_=100)
    post_all(take(25, key="t"))
    first = reverse(amount=10)
    for again in (reverse(amount=10), reverse()):  # None: what this very request gave back
        assert (again.outcome, again.transaction_id) == (Outcome.REPEATED, first.transaction_id)
    with pytest.raises(IdempotencyConflict) as caught:
        reverse(amount=11)
    assert caught.value.differences == {"amount": (10, 11)}
    assert balance() == 85


def test_reversing_another_charge_with_the_same_key_is_a_conflict() -> None:
    open_account(credits_=100)
    post_all(take(25, key="t"), take(25, key="u"))
    reverse(amount=10)
    with pytest.raises(IdempotencyConflict) as caught:
        reverse("u", amount=10)
    assert caught.value.differences == {"reverses": ("t", "u")}
    assert balance() == 60


def test_a_charge_that_is_still_owed_is_forgiven_before_lots_are_filled() -> None:
    # Given a charge of which 30 came from a lot and 20 are owed
    open_account(credits_=30, overdraft_limit=100)
    post_all(take(50, key="t"))
    # When parts come back, Then the debt goes first
    reverse(amount=15, key="a")
    assert (debts(), lots()) == ({"t": 5}, {"opening:clinic:42": 0})
    reverse(amount=15, key="b")
    assert (debts(), lots()) == ({}, {"opening:clinic:42": 10})
    reverse(key="c")
    assert (lots(), balance()) == ({"opening:clinic:42": 30}, 30)
    assert_ledger_is_clean()


def test_what_was_written_off_of_a_charge_does_not_come_back() -> None:
    # Given a charge of 50: 30 came from a lot, 12 of the debt were written off, 5 were paid later
    open_account(credits_=30, overdraft_limit=100)
    post_all(take(50, key="t"))
    by_hand(corrections.write_off, 12, key="w")
    post_all(give(5, key="paid", kind=Kind.TOP_UP))
    assert debts() == {"t": 3}
    # When more is asked for than the customer gave, and what they owe, Then it is refused
    with pytest.raises(ReversalTooLarge) as caught:
        reverse(amount=39, key="a")
    assert caught.value.left == 38
    # When all of it comes back, Then that is the debt and the two lots, not the write-off
    result = reverse(key="b")
    assert (result.balance_after, debts()) == (35, {})
    assert lots() == {"opening:clinic:42": 30, "w": 0, "paid": 5}
    assert_ledger_is_clean()
    with pytest.raises(ReversalTooLarge):
        reverse(key="c")


def test_a_write_off_in_the_batch_of_the_reversal_does_not_come_back_either() -> None:
    open_account(credits_=30, overdraft_limit=100)
    post_all(take(50, key="t"))
    write_off = Posting("clinic:42", 20, Kind.WRITE_OFF, "w", "ops")
    _, refused = post_all(write_off, refund(31))
    assert isinstance(refused.error, ReversalTooLarge)
    assert refused.error.left == 30
    assert_ledger_is_clean()


@pytest.mark.parametrize("key", ["lead:L-1:refund", "dispute:7:refund", "hold:h:capture"])
def test_a_reversal_by_hand_must_not_stand_in_the_way_of_a_rule(key: str) -> None:
    open_account(credits_=30)
    post_all(take(10, key="t"))
    with pytest.raises(InvalidPosting, match="must not begin"):
        reverse(key=key)
    assert balance() == 20


def test_credit_given_back_pays_what_other_charges_owe() -> None:
    open_account(credits_=30, overdraft_limit=100)
    post_all(take(30, key="t"))
    post_all(take(20, key="u"))
    reverse("t", amount=25)
    assert (debts(), lots(), balance()) == ({}, {"opening:clinic:42": 5}, 5)
    # and the charge that it paid for now comes back to that very lot
    reverse("u", key="r2")
    assert lots() == {"opening:clinic:42": 25}
    assert_ledger_is_clean()


@pytest.mark.parametrize("same_batch", [False, True])
def test_a_charge_whose_debt_a_later_credit_paid_comes_back_to_that_credits_lot(
    same_batch: bool,
) -> None:
    # Given a charge of which 30 came from a lot and 20 were owed
    open_account(credits_=30, overdraft_limit=100)
    post_all(take(50, key="t"))
    # When a top-up pays them and the charge is given back, even in one batch
    bought = give(100, key="bought", kind=Kind.TOP_UP)
    if same_batch:
        post_all(bought, refund(50))
    else:
        post_all(bought)
        post_all(refund(50))
    # Then both lots are whole
    assert lots() == {"opening:clinic:42": 30, "bought": 100}
    assert (debts(), balance()) == ({}, 130)
    assert_ledger_is_clean()


def test_a_debt_that_a_refund_paid_from_the_charges_own_lot_in_the_same_batch() -> None:
    # Given two charges on one lot, the second of which owes a part
    open_account(credits_=30, overdraft_limit=100)
    post_all(take(20, key="t"), take(25, key="u"))
    # When the first comes back, paying the second's debt, and then the second, in one batch
    results = post_all(refund(20, of="t", key="r1"), refund(25, of="u", key="r2"))
    assert [result.balance_after for result in results] == [5, 30]
    assert (lots(), debts()) == ({"opening:clinic:42": 30}, {})
    assert_ledger_is_clean()


def test_credit_of_a_lot_that_has_expired_comes_back_as_fresh_goodwill() -> None:
    # Given a charge that took from a lot which expires and one which does not
    open_account()  # in Asia/Kolkata
    with clock.frozen(NOW):
        post_all(
            give(10, key="soon", kind=Kind.GRANT, expires_at=NOW + timedelta(hours=1)),
            give(10, key="bought", kind=Kind.TOP_UP),
        )
        post_all(take(15, key="t"))
        # When it is given back after that time
        clock.advance(timedelta(hours=1))
        reverse()
    # Then the expired part lives the catalog's 30 days more, to the end of the local day
    assert lots() == {"soon": 0, "bought": 10, "r": 10}
    assert rows(
        "SELECT l.source, l.expires_at FROM credit_lots l JOIN credit_transactions t"
        " ON t.id = l.transaction_id WHERE t.idempotency_key = 'r'"
    ) == [("goodwill", datetime(2026, 12, 20, 18, 30, tzinfo=UTC))]
    assert balance() == 20
    assert_ledger_is_clean()


def test_fresh_goodwill_expires_in_its_turn_and_once() -> None:
    open_account()
    with clock.frozen(NOW):
        post_all(give(10, key="g", expires_at=NOW + timedelta(hours=1)))
        post_all(take(10, key="t"))
        clock.advance(timedelta(hours=2))
        reverse(amount=4, key="r1")
        reverse(amount=6, key="r2")
        assert lots() == {"g": 0, "r1": 4, "r2": 6}
        post_all(take(5, key="u"))
        clock.advance(timedelta(days=31))
        # A charge of what expired comes back once more, in a lot of its own
        reverse("u", key="r3")
        assert (lots(), balance()) == ({"g": 0, "r1": 0, "r2": 0, "r3": 5}, 5)
    assert_ledger_is_clean()


@pytest.mark.parametrize(
    "changes",
    [
        {"of": "no such key"},
        {"of": "opening:clinic:42"},  # credit
        {"of": "used"},  # by another kind of refund
        {"of": "adjusted"},  # a correction stays
        {"of": "t", "account": "clinic:43"},  # somebody else's
        {"of": "t", "kind": Kind.USAGE_REFUND},
    ],
)
def test_only_a_charge_of_the_account_comes_back_by_its_own_kind(changes: dict[str, Any]) -> None:
    open_account(credits_=100)
    open_account("clinic:43", credits_=100)
    post_all(
        take(10, key="t"),
        Posting("clinic:42", -10, Kind.USAGE, "used", "test"),
        Posting("clinic:42", -10, Kind.ADJUSTMENT, "adjusted", "test"),
    )
    result = post_all(refund(5, **changes))[0]
    assert isinstance(result.error, UnknownCharge)
    assert result.error.key == changes["of"]
    assert (balance(), balance("clinic:43")) == (70, 100)


def test_a_charge_cannot_come_back_in_its_own_batch() -> None:
    open_account(credits_=100)
    took, gave = post_all(take(10, key="t"), refund(10))
    assert took.outcome is Outcome.APPLIED
    assert isinstance(gave.error, UnknownCharge)
    assert post_all(refund(10))[0].balance_after == 100


@pytest.mark.parametrize("charge_key", ["none", "opening:clinic:42", "adjusted"])
def test_there_is_nothing_to_reverse(charge_key: str) -> None:
    open_account(credits_=100)
    by_hand(corrections.adjust, -1, key="adjusted")
    with pytest.raises(UnknownCharge):
        reverse(charge_key)
    assert balance() == 99


def test_a_reversal_that_makes_no_sense_names_its_field_and_changes_nothing() -> None:
    open_account(credits_=100)
    post_all(take(10, key="t"))
    nonsense: list[tuple[str, Any]] = [
        *(("amount", value) for value in (0, -5, True, 1.0, "5", 2**63)),
        *(("reason", value) for value in ("", None, 7, "a\x00")),
        *(("charge_key", value) for value in ("", None, 7, "a\x00", "k" * 10_000)),
        *(("key", value) for value in ("", None, 7, "a\x00", "k" * 10_000)),
    ]
    for field, value in nonsense:
        with pytest.raises(InvalidPosting) as caught:
            reverse(**{field: value})
        assert caught.value.field == {"key": "idempotency_key"}.get(field, field)
    assert rows("SELECT count(*) FROM credit_transactions") == [(2,)]


@pytest.mark.parametrize("kind", [Kind.TOP_UP, Kind.LEAD_CHARGE, Kind.LEAD_REFUND])
def test_a_refund_and_nothing_else_names_the_charge_it_gives_back(kind: Kind) -> None:
    refunds = kind is Kind.LEAD_REFUND
    amount = -5 if kind is Kind.LEAD_CHARGE else 5
    with pytest.raises(InvalidPosting) as caught:
        post_all(Posting("clinic:42", amount, kind, "k", "a", reverses=None if refunds else "t"))
    assert caught.value.field == "reverses"


# --- at once ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("many_connections")
class TestAtOnce:
    @staticmethod
    def reverse_as(charge: str, amount: int | None, number: int) -> PostingResult:
        return reverse(charge, amount, key=f"{charge}:r{number}")

    @pytest.mark.parametrize("amount", [7, None])
    def test_reversals_at_once_never_give_back_more_than_was_taken(
        self, amount: int | None
    ) -> None:
        open_account(credits_=1_000)
        for round_ in range(5):
            charge = f"t{round_}"
            post_all(take(60, key=charge))
            given = at_once(*(partial(self.reverse_as, charge, amount, n) for n in range(16)))
            applied = [answer for answer in given if isinstance(answer, PostingResult)]
            assert len(applied) == (8 if amount else 1)
            assert all(isinstance(a, PostingResult | ReversalTooLarge) for a in given)
        # 60 of each round's 60, or 8 times 7
        assert balance() == 1_000 - 5 * (4 if amount else 0)
        assert_ledger_is_clean()

    @pytest.mark.parametrize("amount", [25, None])
    def test_the_same_reversal_sixteen_times_is_one(self, amount: int | None) -> None:
        open_account(credits_=100)
        post_all(take(60, key="t"))
        given = at_once(*(lambda: reverse(amount=amount).outcome.value,) * 16)
        assert sorted(map(str, given)) == ["applied"] + ["repeated"] * 15
        assert balance() == 40 + (amount or 60)
        assert_ledger_is_clean()

    def test_debt_is_written_off_once_however_many_ask(self) -> None:
        open_account(overdraft_limit=100)
        post_all(take(100, key="t"))
        given = at_once(
            *(partial(by_hand, corrections.write_off, 30, key=f"w{n}") for n in range(16))
        )
        assert sum(isinstance(answer, PostingResult) for answer in given) == 3
        assert sum(isinstance(answer, NothingToWriteOff) for answer in given) == 13
        assert balance() == -10
        assert_ledger_is_clean()


def test_a_correction_is_seen_in_what_is_available() -> None:
    open_account(credits_=10, overdraft_limit=5)
    by_hand(corrections.adjust, -40)
    with transaction() as session:
        account = accounts.find(session, "clinic:42")
        assert account is not None
        assert accounts.available(account) == -25

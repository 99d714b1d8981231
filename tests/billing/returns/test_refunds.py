"""Refunds: money goes back and takes its credit and its share of the bonus along, exactly."""

from functools import partial
from typing import Any

import pytest

from billing import catalog
from billing.errors import IdempotencyConflict, InvalidReason
from billing.payments import UnknownPayment
from billing.returns import CannotRefund, refunds
from db.session import transaction
from errors import PermanentError
from tests.billing.given import (
    assert_ledger_is_clean,
    at_once,
    balance,
    open_account,
    post_all,
    rows,
    take,
)
from tests.billing.payments.given import CLINIC, PRICE, news, open_order, payment, take_in
from tests.billing.returns.given import (
    ask_refund,
    dispute_fact,
    held,
    ours,
    refund,
    refund_fact,
    report,
    report_dispute,
    settle,
    taken_back,
)

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def paid(database: str) -> None:
    """A clinic that paid Rs 5,000 for 5,000 credits and a bonus of 500."""
    open_account()
    open_order()
    take_in(news())


def refusal(ask: partial[int]) -> PermanentError | int:
    try:
        return ask()
    except PermanentError as error:
        return error


def preview(amount: int | None = None) -> refunds.Preview:
    with transaction() as session:
        return refunds.preview(session, "pay_1", amount)


def test_a_refund_reserves_credit_and_bonus_and_takes_them_when_the_money_is_back() -> None:
    id_ = ask_refund()
    assert (balance(), held()) == (5_500, 5_500)

    report(refund_fact(receipt=ours()))

    found = refund(id_)
    assert (found.state, found.position, found.credits, found.bonus_credits, found.debt) == (
        "processed", "taken", 5_000, 500, 0,
    )  # fmt: skip
    assert (balance(), held()) == (0, 0)
    assert rows(
        "SELECT kind, amount FROM credit_transactions WHERE amount < 0 ORDER BY version"
    ) == [("clawback", -5_000), ("bonus_clawback", -500)]
    assert (payment().state, payment().refunded_paise) == ("refunded", PRICE)
    assert_ledger_is_clean()


def test_a_failed_refund_frees_the_credit_again() -> None:
    ask_refund()

    report(refund_fact("failed", receipt=ours()))

    assert (balance(), held(), taken_back()) == (5_500, 0, {})
    assert payment().state == "captured"
    assert_ledger_is_clean()


def test_a_refund_that_fails_after_it_was_processed_gives_the_credit_back_to_its_lots() -> None:
    post_all(take(5_200, key="spent"))
    ask_refund()
    report(refund_fact(receipt=ours()))
    assert balance() == -5_200

    report(refund_fact("failed", receipt=ours()))

    assert balance() == 300
    assert (payment().state, payment().refunded_paise) == ("captured", 0)
    assert rows("SELECT source, remaining FROM credit_lots ORDER BY id") == [
        ("purchase", 300),
        ("bonus", 0),
    ]
    assert_ledger_is_clean()
    # and it can be refunded again
    ask_refund(key="r2")


def test_parts_add_up_to_the_whole_to_the_last_credit() -> None:
    for i, amount in enumerate((1, 99_999, 133_333, 166_667, 99_999, 1)):
        ask_refund(amount, key=f"r{i}")
        report(refund_fact(refund_id=f"rfnd_{i}", amount=amount, receipt=ours(f"r{i}")))

    assert taken_back() == {"pay_1": 5_500}
    assert rows(
        "SELECT kind, sum(amount)::bigint FROM credit_transactions WHERE amount < 0"
        " GROUP BY 1 ORDER BY 1"
    ) == [("bonus_clawback", -500), ("clawback", -5_000)]
    assert payment().state == "refunded"
    assert_ledger_is_clean()


def test_what_was_spent_becomes_debt_and_the_preview_says_so() -> None:
    post_all(take(5_200, key="spent"))
    shown = preview(PRICE // 2)
    assert (shown.credits, shown.bonus_credits, shown.unspent, shown.debt) == (
        2_500,
        250,
        300,
        2_450,
    )

    id_ = ask_refund(PRICE // 2)
    assert (balance(), held()) == (300, 300)
    report(refund_fact(amount=PRICE // 2, receipt=ours()))

    assert balance() == 300 - 2_750
    assert refund(id_).debt == 2_450
    assert_ledger_is_clean()


def test_under_the_catalogs_cap_nothing_is_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    caps = catalog.get().model_copy(update={"refunds": catalog.Refunds(when_spent="cap")})
    monkeypatch.setattr(catalog, "get", lambda: caps)
    post_all(take(5_200, key="spent"))
    shown = preview()
    assert (shown.credits, shown.bonus_credits, shown.debt, shown.let_go) == (300, 0, 0, 5_200)

    id_ = ask_refund()
    report(refund_fact(receipt=ours()))

    assert balance() == 0
    assert (refund(id_).credits, refund(id_).bonus_credits, refund(id_).debt) == (300, 0, 0)
    assert_ledger_is_clean()


def test_credit_of_the_payment_goes_first_then_by_burn_order() -> None:
    open_order("order_2", "op-2")
    take_in(news(payment_id="pay_2", order_id="order_2"))
    post_all(take(500, key="spends the first bonus"))

    ask_refund(payment_id="pay_2")
    report(refund_fact(payment_id="pay_2", receipt=ours()))

    assert rows("SELECT source, remaining FROM credit_lots ORDER BY id") == [
        ("purchase", 5_000), ("bonus", 0), ("purchase", 0), ("bonus", 0),
    ]  # fmt: skip
    assert_ledger_is_clean()


def test_reserved_credit_cannot_be_spent_meanwhile() -> None:
    ask_refund(PRICE // 2)

    refused = post_all(take(2_751, key="too much"))

    assert type(refused[0].error).__name__ == "InsufficientCredit"


@pytest.mark.parametrize("amount", [0, -1, PRICE + 1, True])
def test_more_than_was_paid_is_refused(amount: int) -> None:
    with pytest.raises(CannotRefund):
        ask_refund(amount)


def test_refunds_under_way_count() -> None:
    ask_refund(PRICE - 100)

    with pytest.raises(CannotRefund, match="has 100 paise left"):
        ask_refund(101, key="r2")
    ask_refund(100, key="r3")
    with pytest.raises(CannotRefund, match="nothing left"):
        ask_refund(key="r4")


def test_one_request_is_one_refund() -> None:
    assert ask_refund(100) == ask_refund(100) == ask_refund()
    with pytest.raises(IdempotencyConflict):
        ask_refund(200)
    with pytest.raises(IdempotencyConflict):
        ask_refund(100, reason="another")
    assert len(rows("SELECT 1 FROM billing_refunds")) == 1


def test_two_refunds_of_everything_at_once_are_one() -> None:
    found = at_once(*(partial(refusal, partial(ask_refund, key=f"r{i}")) for i in range(4)))

    assert sorted(type(result).__name__ for result in found) == [*["CannotRefund"] * 3, "int"]
    assert held() == 5_500


def test_what_is_not_known_or_not_paid_is_refused() -> None:
    open_order("order_2", "op-2")
    take_in(news(payment_id="pay_2", order_id="order_2", amount_paise=0))
    with pytest.raises(UnknownPayment):
        ask_refund(payment_id="pay_unknown")
    with pytest.raises(CannotRefund):
        ask_refund(payment_id="pay_2")
    with pytest.raises(InvalidReason):
        ask_refund(reason="")


def test_quarantined_money_goes_back_and_takes_no_credit() -> None:
    take_in(news(payment_id="pay_2"))
    assert payment("pay_2").reason == "order_paid_already"

    ask_refund(payment_id="pay_2")
    report(refund_fact(payment_id="pay_2", receipt=ours()))

    assert (payment("pay_2").state, balance(), taken_back()) == ("refunded", 5_500, {})


def test_a_refund_of_the_dashboard_takes_its_credit_when_it_is_processed() -> None:
    report(refund_fact("submitted", amount=PRICE // 2))
    assert (balance(), held()) == (5_500, 2_750)

    report(refund_fact(amount=PRICE // 2), refund_fact(amount=PRICE // 2))

    assert (balance(), held(), taken_back()) == (2_750, 0, {"pay_1": 2_750})


def test_an_auto_refund_of_money_that_was_never_captured_takes_no_credit() -> None:
    from billing.payments import Seen  # noqa: PLC0415 - beside its one use

    take_in(news(Seen.RETURNED, payment_id="pay_2"))

    assert report(refund_fact(payment_id="pay_2")) == ["processed"]
    assert (balance(), taken_back()) == (5_500, {})
    assert rows("SELECT position, settled_at IS NOT NULL FROM billing_refunds") == [("none", True)]


def test_a_fact_without_a_receipt_waits_while_a_refund_of_ours_has_no_answer() -> None:
    ask_refund(PRICE // 2)

    assert report(refund_fact(amount=PRICE // 2)) == ["waits"]
    assert taken_back() == {}
    report(refund_fact(amount=PRICE // 2, receipt=ours()))

    assert taken_back() == {"pay_1": 2_750}
    assert len(rows("SELECT 1 FROM billing_refunds")) == 1


def test_the_event_before_our_own_answer_takes_once() -> None:
    id_ = ask_refund(PRICE // 2)
    fact = refund_fact(amount=PRICE // 2, receipt=ours())

    at_once(*(partial(report, fact) for _ in range(4)))

    assert taken_back() == {"pay_1": 2_750}
    assert refund(id_).gateway_refund_id == "rfnd_1"
    assert_ledger_is_clean()


def test_a_refund_reported_before_its_payment_takes_its_credit_once_that_is_there() -> None:
    open_order("order_2", "op-2")
    report(refund_fact(payment_id="pay_2", amount=PRICE // 2))
    assert taken_back() == {}

    take_in(news(payment_id="pay_2", order_id="order_2"))
    settle()

    assert taken_back() == {"pay_2": 2_750}
    assert (payment("pay_2").state, payment("pay_2").refunded_paise) == (
        "partially_refunded",
        PRICE // 2,
    )
    assert_ledger_is_clean()


def test_a_refund_during_a_chargeback_is_refused() -> None:
    report_dispute(dispute_fact())

    with pytest.raises(CannotRefund, match="charged back"):
        ask_refund()


def test_a_refund_is_audited_and_notified() -> None:
    ask_refund()
    report(refund_fact(receipt=ours()))

    log = rows(
        "SELECT action, after ->> 'state' FROM billing_audit_log WHERE subject LIKE 'refund:%'"
        " ORDER BY id"
    )
    assert [action for action, _ in log] == [
        "refund.requested", "refund.reserved", "refund.processed", "refund.taken",
    ]  # fmt: skip
    assert rows("SELECT topic FROM outbox_events WHERE topic LIKE 'refund.%' ORDER BY id") == [
        ("refund.requested",),
        ("refund.processed",),
    ]


@pytest.mark.parametrize(
    "facts",
    [
        [("submitted", {}), ("processed", {})],
        [("processed", {}), ("submitted", {})],
        [("processed", {}), ("processed", {}), ("submitted", {})],
    ],
)
def test_events_in_any_order_end_in_the_same_state(facts: list[tuple[Any, dict[str, Any]]]) -> None:
    id_ = ask_refund()

    for seen, more in facts:
        report(refund_fact(seen, receipt=ours(), **more))

    assert (refund(id_).state, refund(id_).position) == ("processed", "taken")
    assert balance(CLINIC) == 0

"""Intake: facts in any order and number end in one state, and captured money is credited once."""

from datetime import timedelta
from functools import partial
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import text

import clock
from billing import payments
from billing.payments import PaymentFacts, Seen, orders, unmatched
from db.errors import StatementRefused
from db.session import transaction
from tests.billing.given import (
    assert_ledger_is_clean,
    at_once,
    balance,
    open_account,
    post_all,
    rows,
    take,
)
from tests.billing.leads.given import CHEAP, DEAR, MIDDLE, park, states
from tests.billing.payments.given import (
    CLINIC,
    PRICE,
    credit_rows,
    news,
    open_order,
    opened,
    order_facts,
    order_state,
    payment,
    request,
    take_in,
)

pytestmark = pytest.mark.usefixtures("database")

CREDITS = [("razorpay:pay_1:top_up", 5_000), ("razorpay:pay_1:bonus", 500)]


@pytest.fixture(autouse=True)
def clinic(database: str) -> str:
    return open_account()


def test_captured_money_is_credited_with_its_bonus_in_two_lots() -> None:
    order = open_order()

    taken = take_in(news())

    assert [(c.payment_id, c.account, c.credits) for c in taken.credited] == [
        ("pay_1", CLINIC, 5_500)
    ]
    assert taken.states == ["captured"]
    assert credit_rows() == CREDITS
    assert rows("SELECT source, amount FROM credit_lots ORDER BY id") == [
        ("purchase", 5_000),
        ("bonus", 500),
    ]
    assert order_state(order) == "paid"
    assert (payment().credits, payment().bonus_credits) == (5_000, 500)
    assert_ledger_is_clean()


def test_the_same_facts_again_credit_nothing() -> None:
    open_order()
    take_in(news())

    again = take_in(news(), news())

    assert again.credited == []
    assert again.states == ["captured", "captured"]
    assert credit_rows() == CREDITS


def test_several_facts_of_one_payment_in_one_batch_credit_once() -> None:
    open_order()

    taken = take_in(news(), news(receipt="rcpt"), news(Seen.AUTHORIZED))

    assert len(taken.credited) == 1
    assert credit_rows() == CREDITS


LIFE = (
    news(Seen.CREATED),
    news(Seen.FAILED, error_code="GATEWAY_ERROR"),
    news(Seen.AUTHORIZED),
    news(Seen.CAPTURED, fee_paise=11_800, tax_paise=1_800),
    news(Seen.CAPTURED, refunded_paise=100),
)


@pytest.mark.parametrize("order", list(permutations(range(len(LIFE))))[::7])
def test_events_in_any_order_end_in_the_same_state(order: tuple[int, ...]) -> None:
    wanted = open_order()

    for i in order:
        take_in(LIFE[i])
        take_in(LIFE[i])

    found = payment()
    assert (found.state, found.refunded_paise, found.fee_paise) == (
        "partially_refunded",
        100,
        11_800,
    )
    assert credit_rows() == CREDITS
    assert order_state(wanted) == "paid"


def test_a_failed_payment_that_is_authorized_late_is_credited() -> None:
    order = open_order()
    take_in(news(Seen.FAILED))
    assert order_state(order) == "open"

    take_in(news(Seen.AUTHORIZED))
    taken = take_in(news(Seen.CAPTURED))

    assert taken.states == ["captured"]
    assert balance() == 5_500


def test_a_late_failure_of_captured_money_changes_nothing() -> None:
    open_order()
    take_in(news())

    taken = take_in(
        news(Seen.FAILED), news(Seen.AUTHORIZED), news(Seen.CREATED), news(Seen.RETURNED)
    )

    assert taken.states == ["captured"] * 4
    assert payment().refunded_paise == 0


@pytest.mark.parametrize("seen", [Seen.CREATED, Seen.AUTHORIZED, Seen.FAILED, Seen.RETURNED])
def test_money_that_was_not_captured_brings_nothing(seen: Seen) -> None:
    order = open_order()

    taken = take_in(news(seen))

    assert (taken.credited, credit_rows()) == ([], [])
    assert order_state(order) == "open"
    assert taken.states == ["refunded" if seen is Seen.RETURNED else seen.value]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"amount_paise": PRICE - 1}, "amount_mismatch"),
        ({"amount_paise": PRICE + 1}, "amount_mismatch"),
        ({"amount_paise": 0}, "amount_mismatch"),
        ({"currency": "USD"}, "currency_mismatch"),
    ],
)
def test_money_that_is_not_what_was_ordered_is_quarantined(
    wrong: dict[str, Any], reason: str
) -> None:
    order = open_order()

    taken = take_in(news(**wrong))

    found = payment()
    assert (taken.states, found.state, found.reason) == (["quarantined"], "quarantined", reason)
    assert credit_rows() == []
    assert order_state(order) == "open"
    assert rows("SELECT topic FROM outbox_events WHERE topic LIKE 'payment.%'") == [
        ("payment.quarantined",)
    ]


def test_the_right_money_after_the_wrong_is_credited() -> None:
    open_order()
    take_in(news(amount_paise=1))

    take_in(news(payment_id="pay_2"))

    assert [key for key, _ in credit_rows()] == ["razorpay:pay_2:top_up", "razorpay:pay_2:bonus"]


def test_a_second_captured_payment_on_an_order_is_quarantined() -> None:
    order = open_order()
    take_in(news())

    taken = take_in(news(payment_id="pay_2"))

    assert taken.states == ["quarantined"]
    assert payment("pay_2").reason == "order_paid_already"
    assert credit_rows() == CREDITS
    assert order_state(order) == "paid"


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (news(order_id=None), "no_order"),
        (news(order_id="order_of_somebody_else"), "order_not_known"),
        (news(gateway="stripe"), "order_not_known"),  # the id is Razorpay's
    ],
)
def test_money_without_an_order_of_ours_is_unmatched(facts: PaymentFacts, reason: str) -> None:
    open_order()

    take_in(facts)

    found = payment()
    assert (found.state, found.reason, found.account_id) == ("unmatched", reason, None)
    assert credit_rows() == []


def test_money_that_comes_before_its_order_is_known_is_credited_afterwards() -> None:
    order = request()
    take_in(news())
    assert payment().state == "unmatched"

    opened(order)
    with transaction() as session:
        waiting = unmatched.facts_with_known_order(session, limit=10)
        taken = payments.take_in_payments(session, waiting, actor="test")

    assert [c.payment_id for c in taken.credited] == ["pay_1"]
    assert credit_rows() == CREDITS
    assert order_state(order) == "paid"


def test_an_order_whose_answer_was_lost_is_found_by_its_receipt() -> None:
    order = request()

    take_in(news(receipt=order.receipt))

    assert credit_rows() == CREDITS
    assert rows("SELECT gateway_order_id, state FROM billing_orders") == [("order_1", "paid")]


def test_money_refunded_before_its_order_is_known_brings_nothing_then() -> None:
    order = request()
    take_in(news())
    take_in(news(refunded_paise=PRICE))
    opened(order)

    again = take_in(news(), news(refunded_paise=PRICE))

    assert again.states == ["refunded", "refunded"]
    assert credit_rows() == []


def test_money_refunded_in_part_before_its_order_is_known_is_credited_as_such() -> None:
    order = request()
    take_in(news(refunded_paise=100))
    assert (payment().state, payment().refunded_paise) == ("unmatched", 100)
    opened(order)

    taken = take_in(news())

    assert taken.states == ["partially_refunded"]
    assert payment().refunded_paise == 100
    assert credit_rows() == CREDITS


def test_refunds_grow_and_never_shrink() -> None:
    open_order()
    take_in(news(refunded_paise=300))
    take_in(news(refunded_paise=200))
    assert (payment().state, payment().refunded_paise) == ("partially_refunded", 300)

    take_in(news(refunded_paise=2 * PRICE))

    assert (payment().state, payment().refunded_paise) == ("refunded", PRICE)
    assert credit_rows() == CREDITS


def test_the_gateway_is_asked_soon_about_authorized_money() -> None:
    order = open_order()

    take_in(news(Seen.AUTHORIZED))

    asked = rows("SELECT next_ask_at FROM billing_orders WHERE id = :id", id=order.id)[0][0]
    assert asked <= clock.now() + timedelta(seconds=20)  # type: ignore[operator]


def test_a_paid_plan_is_counted_and_brings_no_credit_of_its_own() -> None:
    with transaction() as session:
        session.execute(text("UPDATE accounts SET product = 'pharmapulse_one'"))
    order = open_order(plan="pharmapulse_one")

    taken = take_in(news(amount_paise=15_000 * 100))

    assert [c.credits for c in taken.credited] == [0]
    assert (order_state(order), payment().state, credit_rows()) == ("paid", "captured", [])


def test_credit_pays_debt_and_parked_leads_in_the_same_transaction() -> None:
    # Given a clinic in debt with three parked leads, of which credit covers two
    with transaction() as session:
        session.execute(text("UPDATE accounts SET overdraft_limit = 4900"))
    post_all(take(4_900, key="spent"))
    park(("dear", DEAR), ("cheap", CHEAP), ("middle", MIDDLE))
    with transaction() as session:
        session.execute(text("UPDATE accounts SET overdraft_limit = 0"))
    open_order()

    # When 5,500 credits come: 4,900 are owed, 600 are left for 500 + 100
    taken = take_in(news())

    assert [lead.lead_id for lead in taken.released] == ["dear", "cheap"]
    assert states() == {"cheap": "charged", "dear": "charged", "middle": "parked"}
    assert balance() == 0
    assert_ledger_is_clean()


def test_two_payments_of_one_account_in_one_batch_release_once() -> None:
    park(("a", DEAR), ("b", DEAR))
    open_order()
    open_order("order_2", "op-2", amount_paise=1_000_00)

    taken = take_in(news(), news(payment_id="pay_2", order_id="order_2", amount_paise=1_000_00))

    assert [lead.lead_id for lead in taken.released] == ["a", "b"]
    assert balance() == 5_500 + 1_000 - 1_000
    assert_ledger_is_clean()


def test_four_sources_at_once_credit_once() -> None:
    order = open_order()
    sources = [
        partial(take_in, news()),
        partial(take_in, news(receipt=order.receipt)),
        partial(take_in, news(Seen.AUTHORIZED), news()),
        partial(take_in, news(fee_paise=100)),
    ]

    found = at_once(*sources)

    assert sum(len(taken.credited) for taken in found) == 1  # type: ignore[attr-defined, misc]
    assert credit_rows() == CREDITS
    assert_ledger_is_clean()


def test_two_payments_of_one_order_at_once_credit_one_of_them() -> None:
    open_order()

    at_once(*(partial(take_in, news(payment_id=f"pay_{i}")) for i in range(4)))

    assert balance() == 5_500
    assert sorted(rows("SELECT state, reason FROM billing_payments"), key=str) == [
        ("captured", None),
        *[("quarantined", "order_paid_already")] * 3,
    ]


def test_an_order_that_opens_while_its_money_comes_is_credited_once() -> None:
    order = request()

    def open_it() -> None:
        with transaction() as session:
            found = orders.record_opened(session, order.id, order_facts(order))
            payments.take_in_payments(
                session, unmatched.facts_for_order(session, found), actor="test"
            )

    at_once(open_it, partial(take_in, news()))
    with transaction() as session:  # as the beat's tick does
        waiting = unmatched.facts_with_known_order(session, limit=10)
        payments.take_in_payments(session, waiting, actor="test")

    assert credit_rows() == CREDITS


def test_each_change_of_state_is_in_the_audit_log_and_captured_money_in_the_outbox() -> None:
    open_order()
    for seen in (Seen.CREATED, Seen.FAILED, Seen.AUTHORIZED, Seen.CAPTURED, Seen.CAPTURED):
        take_in(news(seen))

    log = rows(
        "SELECT action, before ->> 'state', after ->> 'state' FROM billing_audit_log"
        " WHERE subject = 'payment:razorpay:pay_1' ORDER BY id"
    )

    assert log == [
        ("payment.created", None, "created"),
        ("payment.failed", "created", "failed"),
        ("payment.authorized", "failed", "authorized"),
        ("payment.captured", "authorized", "captured"),
    ]
    assert rows("SELECT topic FROM outbox_events WHERE topic LIKE 'payment.%' ORDER BY id") == [
        ("payment.failed",),
        ("payment.captured",),
    ]


@pytest.mark.parametrize(
    "change",
    [
        "state = 'failed'",
        "state = 'created'",
        "credits = credits + 1",
        "amount_paise = 1",
        "credited_at = NULL, state = 'refunded'",
        "account_id = NULL",
    ],
)
def test_the_database_refuses_to_take_credited_money_back_by_hand(change: str) -> None:
    open_order()
    take_in(news())

    with pytest.raises(StatementRefused, match="23514"), transaction() as session:
        session.execute(text(f"UPDATE billing_payments SET {change}"))


def test_the_database_refuses_to_give_a_paid_order_to_another_payment() -> None:
    open_order()
    take_in(news(), news(payment_id="pay_2"))

    with pytest.raises(StatementRefused, match="23514"), transaction() as session:
        session.execute(
            text("UPDATE billing_orders SET payment_id = :other"), {"other": payment("pay_2").id}
        )


def test_credit_bought_by_a_clock_that_is_ahead_counts_from_now_as_a_plan_does() -> None:
    order = open_order()
    now = clock.now()
    with clock.frozen(now):
        take_in(news(Seen.CAPTURED, happened_at=now + timedelta(days=365)))

    assert order_state(order) == "paid"
    assert rows("SELECT happened_at FROM billing_payments") == [(now,)]
    assert rows("SELECT DISTINCT event_at FROM credit_transactions") == [(now,)]

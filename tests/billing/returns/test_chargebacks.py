"""Chargebacks: frozen when opened, taken when lost, free again when won."""

from itertools import permutations

import pytest

import clock
from billing.credit import holds
from billing.returns import DisputeFacts, chargebacks
from db.pages import Wanted
from db.session import transaction
from tests.billing.given import (
    assert_ledger_is_clean,
    balance,
    open_account,
    post_all,
    rows,
    take,
)
from tests.billing.payments.given import PRICE, news, open_order, take_in
from tests.billing.returns.given import (
    ask_refund,
    chargeback,
    dispute_fact,
    held,
    ours,
    refund_fact,
    report,
    report_dispute,
    taken_back,
)

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def paid(database: str) -> None:
    open_account()
    open_order()
    take_in(news())


def flag() -> object:
    return rows("SELECT review_reason FROM accounts")[0][0]


def test_what_is_unspent_is_frozen_and_the_account_flagged() -> None:
    post_all(take(2_000, key="spent"))

    report_dispute(dispute_fact())

    assert (balance(), held(), flag()) == (3_500, 3_500, "chargeback")
    assert rows("SELECT expires_at FROM holds") == [(None,)]


def test_a_lost_one_takes_credit_and_bonus_and_leaves_what_was_spent_as_debt() -> None:
    post_all(take(2_000, key="spent"))
    report_dispute(dispute_fact())

    report_dispute(dispute_fact("lost"))

    assert (balance(), held()) == (-2_000, 0)
    assert chargeback().debt == 2_000
    assert taken_back() == {"pay_1": 5_500}
    assert flag() == "chargeback"
    assert_ledger_is_clean()


@pytest.mark.parametrize("end", ["won", "closed"])
def test_a_won_one_frees_everything(end: str) -> None:
    report_dispute(dispute_fact())

    report_dispute(dispute_fact(end))  # type: ignore[arg-type]

    assert (balance(), held(), taken_back(), flag()) == (5_500, 0, {}, None)


def test_one_that_is_won_after_it_was_lost_restores_the_credit() -> None:
    report_dispute(dispute_fact("lost"))
    assert balance() == 0

    report_dispute(dispute_fact("won"), dispute_fact("lost"))

    assert (balance(), flag()) == (5_500, None)
    assert chargeback().state == "won"
    assert_ledger_is_clean()


def test_an_inquiry_freezes_nothing_until_it_moves_money() -> None:
    report_dispute(dispute_fact(moves_money=False))
    assert (held(), flag()) == (0, None)

    report_dispute(dispute_fact(moves_money=True))

    assert (held(), flag()) == (5_500, "chargeback")


EVENTS = (
    dispute_fact("open"),
    dispute_fact("action_required"),
    dispute_fact("under_review"),
    dispute_fact("lost"),
)


@pytest.mark.parametrize("order", list(permutations(EVENTS)))
def test_events_in_any_order_end_in_the_same_state(order: tuple[DisputeFacts, ...]) -> None:
    for fact in order:
        report_dispute(fact, fact)

    assert chargeback().state == "lost"
    assert (balance(), held(), taken_back()) == (0, 0, {"pay_1": 5_500})


def test_a_part_after_a_part_was_refunded_completes_the_sum() -> None:
    ask_refund(PRICE // 3)
    report(refund_fact(amount=PRICE // 3, receipt=ours()))

    report_dispute(dispute_fact("lost", amount=PRICE - PRICE // 3))

    assert taken_back() == {"pay_1": 5_500}
    assert_ledger_is_clean()


def test_a_hold_that_an_operator_voided_stands_in_nobodys_way() -> None:
    report_dispute(dispute_fact())
    (hold_id,) = rows("SELECT id FROM holds")[0]
    with transaction() as session:
        holds.void(session, hold_id=int(str(hold_id)), idempotency_key="x", actor="admin:ops")

    report_dispute(dispute_fact("lost"))

    assert (balance(), held()) == (0, 0)


def test_open_ones_are_listed_by_their_deadline() -> None:
    open_order("order_2", "op-2")
    take_in(news(payment_id="pay_2", order_id="order_2"))
    report_dispute(
        dispute_fact(dispute_id="later"),
        dispute_fact(dispute_id="sooner", payment_id="pay_2", respond_by=clock.now()),
    )

    with transaction() as session:
        found = chargebacks.open_by_deadline(session, Wanted(10))
        assert [c.gateway_dispute_id for c, _, _ in found] == ["sooner", "later"]

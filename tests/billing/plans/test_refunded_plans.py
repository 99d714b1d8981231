"""A plan whose money was wholly returned: one notice, the account flagged, the plan unchanged."""

import pytest

from tests.billing.given import assert_ledger_is_clean, balance, rows
from tests.billing.payments import given as buying
from tests.billing.plans import given as planning
from tests.billing.plans.given import MONTHLY, PHARMACY, PLAN, PRICES, RENEWAL
from tests.billing.returns.given import dispute_fact, refund_fact, report, report_dispute

PRICE = PRICES[PLAN]


@pytest.fixture(autouse=True)
def payment_id(database: str) -> str:
    """The payment of a plan."""
    planning.open_pharmacy()
    order_id = planning.order(PLAN, 1)
    planning.pay(order_id, PLAN)
    return f"pay_{order_id}"


def review() -> object:
    return rows("SELECT review_reason FROM accounts")[0][0]


def notices() -> int:
    return len(planning.notices(topic="plan.refunded"))


def test_a_refund_of_all_of_it_is_for_a_person_to_decide(payment_id: str) -> None:
    before = planning.plan()

    report(refund_fact(amount=PRICE, payment_id=payment_id))
    report(refund_fact(amount=PRICE, payment_id=payment_id))

    assert (review(), notices()) == ("plan_refunded", 1)
    assert rows(
        "SELECT payload FROM outbox_events WHERE topic IN ('plan.refunded', 'account.review')"
        " ORDER BY id"
    ) == [
        ({"account": PHARMACY, "payment_id": payment_id, "year": 1, "kind": "purchase"},),
        ({"account": PHARMACY, "review_reason": "plan_refunded", "year": 1, "kind": "purchase"},),
    ]
    after = planning.plan()
    assert (after.years, after.updated_at) == (before.years, before.updated_at)
    assert balance(PHARMACY) == MONTHLY
    assert_ledger_is_clean()


def test_partial_refunds_are_reported_with_the_last_one(payment_id: str) -> None:
    for part in range(3):
        assert (review(), notices()) == (None, 0)
        report(refund_fact(amount=PRICE // 3, refund_id=f"rfnd_{part}", payment_id=payment_id))

    assert (review(), notices()) == ("plan_refunded", 1)


def test_a_refunded_renewal_is_reported_with_its_year() -> None:
    order_id = planning.order(RENEWAL, 2)
    planning.pay(order_id, RENEWAL)

    report(refund_fact(amount=PRICES[RENEWAL], payment_id=f"pay_{order_id}"))

    assert review() == "plan_refunded"
    assert rows("SELECT payload ->> 'year' FROM outbox_events WHERE topic = 'plan.refunded'") == [
        ("2",)
    ]


def test_a_refund_that_fails_later_clears_the_flag(payment_id: str) -> None:
    report(refund_fact(amount=PRICE, payment_id=payment_id))

    report(refund_fact("failed", amount=PRICE, payment_id=payment_id))

    assert review() is None
    assert_ledger_is_clean()


def test_a_lost_chargeback_is_reported_even_if_the_account_was_flagged_before(
    payment_id: str,
) -> None:
    report_dispute(dispute_fact(amount=PRICE, payment_id=payment_id))
    assert (review(), notices()) == ("chargeback", 0)

    report_dispute(dispute_fact("lost", amount=PRICE, payment_id=payment_id))

    assert (review(), notices()) == ("chargeback", 1)
    report_dispute(dispute_fact("won", amount=PRICE, payment_id=payment_id))
    assert review() is None


def test_a_refund_of_money_that_paid_no_year_flags_nothing(payment_id: str) -> None:
    planning.open_pharmacy("pharmacy:8")
    orders = [planning.order(PLAN, number, "pharmacy:8") for number in (1, 2)]
    for order_id in orders:
        planning.pay(order_id, PLAN)
    assert buying.payment(f"pay_{orders[1]}").reason == "plan_bought_already"

    report(refund_fact(amount=PRICE, payment_id=f"pay_{orders[1]}"))

    assert rows("SELECT count(*) FROM accounts WHERE review_reason IS NOT NULL") == [(0,)]
    assert rows("SELECT count(*) FROM outbox_events WHERE topic = 'plan.refunded'") == [(0,)]

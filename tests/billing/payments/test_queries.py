"""Queries: which payments are found, and what belongs to one."""

from collections.abc import Sequence

import pytest

from billing import accounts, audit
from billing.ledger import Kind
from billing.payments import AmbiguousPayment, order_queries, orders, queries
from db.models import Payment
from db.session import transaction
from tests.billing.explained import plans_of
from tests.billing.given import give, open_account, post_all
from tests.billing.verification.payment_rows import add_order, add_payment
from tests.conftest import owner

pytestmark = pytest.mark.usefixtures("database")


def ids(payments: Sequence[Payment]) -> list[str]:
    return [payment.gateway_payment_id for payment in payments]


def test_a_page_of_payments_is_newest_first_and_starts_before_an_id() -> None:
    account, other = open_account("clinic:1"), open_account("clinic:2")
    numbers = [add_payment(account, f"pay_{n}") for n in range(4)]
    add_payment(other, "pay_other")

    with transaction() as session:
        found = accounts.find(session, account)
        assert found
        newest = queries.of_account(session, found.id, limit=2)
        older = queries.of_account(session, found.id, before_id=numbers[2], limit=9)
        failed = queries.of_account(session, found.id, state="failed", limit=9)

    assert (ids(newest), ids(older), ids(failed)) == (["pay_3", "pay_2"], ["pay_1", "pay_0"], [])


def test_a_payment_is_found_by_the_gateways_id() -> None:
    add_payment(None, "pay_1", state="failed", credited_at=None)
    add_payment(None, "pi_1", gateway="stripe", state="failed", credited_at=None)

    with transaction() as session:
        for payment_id, gateway in (("pay_1", "razorpay"), ("pi_1", "stripe")):
            found = queries.find(session, payment_id)
            assert found
            assert found.gateway == gateway
        assert queries.find(session, "pay_1", gateway="stripe") is None
        assert queries.find(session, "pay_2") is None


def test_an_order_is_found_by_the_gateways_id_from_an_index() -> None:
    # Given many orders
    open_account("clinic:1")
    with owner() as connection:
        connection.exec_driver_sql(
            "INSERT INTO billing_orders (account_id, gateway, receipt, gateway_order_id,"
            " amount_paise, currency, credits, bonus_credits, state, requested_by, created_at,"
            " updated_at) SELECT a.id, CASE n %% 2 WHEN 0 THEN 'razorpay' ELSE 'stripe' END,"
            " 'ord_' || n, 'order_' || n, 100, 'INR', 1, 0, 'open', 'test', now(), now()"
            " FROM generate_series(1, 10000) AS n, accounts a"
        )
        connection.exec_driver_sql("ANALYZE billing_orders")
    # When one is looked for
    with transaction() as session, plans_of(session, "billing_orders") as plans:
        known = orders.find_with_account(session, "order_7")
        reached = order_queries.find_in_reach(
            session, "order_7", product="clinic_leads", account_id=None
        )
    # Then the others are not read
    assert known
    assert reached
    assert known[0].id == reached[0].id
    assert len(plans) == 2
    assert all("uq_billing_orders_gateway" in plan and "Seq Scan" not in plan for plan in plans)


def test_an_id_that_two_gateways_know_needs_the_gateway() -> None:
    for gateway in ("razorpay", "stripe"):
        add_payment(None, "pay_1", gateway=gateway, state="failed", credited_at=None)

    with transaction() as session:
        with pytest.raises(AmbiguousPayment, match="razorpay and stripe") as refused:
            queries.find(session, "pay_1")
        found = queries.find(session, "pay_1", gateway="stripe")

    assert refused.value.gateways == ("razorpay", "stripe")
    assert found
    assert found.gateway == "stripe"


def test_order_ledger_rows_and_audit_entries_of_a_payment_are_found_and_no_others() -> None:
    account, other = open_account("clinic:1"), open_account("clinic:2")
    order = add_order(account, "order_1")
    add_payment(account, "pay_1", order_id=order)
    for whose in (account, other):
        for kind in (Kind.TOP_UP, Kind.BONUS):
            key = f"{whose}:{kind}"
            post_all(give(10, account=whose, key=key, kind=kind, payment_id="pay_1"))
    with transaction() as session:
        for subject in ("payment:razorpay:pay_1", "payment:stripe:pay_1"):
            audit.record(session, "payment.seen", subject, before=None, after={})

    with transaction() as session:
        payment = queries.find(session, "pay_1")
        assert payment
        ours = queries.find_order_of(session, payment)
        rows = queries.transactions_of(session, payment)
        log = queries.audit_entries_of(session, payment)
        assert queries.find_account_ref(session, payment) == account

    assert ours
    assert ours.gateway_order_id == "order_1"
    assert [row.idempotency_key for row in rows] == ["clinic:1:top_up", "clinic:1:bonus"]
    assert [entry.subject for entry in log] == ["payment:razorpay:pay_1"]

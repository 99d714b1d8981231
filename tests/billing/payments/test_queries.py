"""Which payments are found, and what belongs to one."""

from collections.abc import Sequence

import pytest

from billing import accounts, audit
from billing.ledger import Kind
from billing.payments import AmbiguousPayment
from billing.payments import queries as payment_reading
from db.models import Payment
from db.session import transaction
from tests.billing.given import give, open_account, post_all
from tests.billing.verification.payment_rows import add_order, add_payment

pytestmark = pytest.mark.usefixtures("database")


def ids(payments: Sequence[Payment]) -> list[str]:
    return [payment.gateway_payment_id for payment in payments]


def test_the_payments_of_an_account_come_newest_first_from_where_a_page_begins() -> None:
    account, other = open_account("clinic:1"), open_account("clinic:2")
    numbers = [add_payment(account, f"pay_{n}") for n in range(4)]
    add_payment(other, "pay_other")

    with transaction() as session:
        found = accounts.find(session, account)
        assert found
        newest = payment_reading.of_account(session, found.id, limit=2)
        older = payment_reading.of_account(session, found.id, before_id=numbers[2], limit=9)
        failed = payment_reading.of_account(session, found.id, state="failed", limit=9)

    assert (ids(newest), ids(older), ids(failed)) == (["pay_3", "pay_2"], ["pay_1", "pay_0"], [])


def test_a_payment_is_found_by_the_gateways_id() -> None:
    add_payment(None, "pay_1", state="failed", credited_at=None)
    add_payment(None, "pi_1", gateway="stripe", state="failed", credited_at=None)

    with transaction() as session:
        for payment_id, gateway in (("pay_1", "razorpay"), ("pi_1", "stripe")):
            found = payment_reading.find(session, payment_id)
            assert found
            assert found.gateway == gateway
        assert payment_reading.find(session, "pay_1", gateway="stripe") is None
        assert payment_reading.find(session, "pay_2") is None


def test_an_id_that_two_gateways_know_needs_the_gateway() -> None:
    for gateway in ("razorpay", "stripe"):
        add_payment(None, "pay_1", gateway=gateway, state="failed", credited_at=None)

    with transaction() as session:
        with pytest.raises(AmbiguousPayment, match="razorpay and stripe") as refused:
            payment_reading.find(session, "pay_1")
        found = payment_reading.find(session, "pay_1", gateway="stripe")

    assert refused.value.gateways == ("razorpay", "stripe")
    assert found
    assert found.gateway == "stripe"


def test_what_belongs_to_a_payment_is_found_and_nothing_of_others() -> None:
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
        payment = payment_reading.find(session, "pay_1")
        assert payment
        ours = payment_reading.find_order_of(session, payment)
        rows = payment_reading.transactions_of(session, payment)
        log = payment_reading.audit_entries_of(session, payment)
        assert payment_reading.find_account_ref(session, payment) == account

    assert ours
    assert ours.gateway_order_id == "order_1"
    assert [row.idempotency_key for row in rows] == ["clinic:1:top_up", "clinic:1:bonus"]
    assert [entry.subject for entry in log] == ["payment:razorpay:pay_1"]

"""Given: orders and payments, for the tests of this area and of others."""

from collections.abc import Sequence
from typing import Any

from billing import payments
from billing.payments import (
    GatewayName,
    IntakeResult,
    OrderFacts,
    OrderRequest,
    PaymentFacts,
    Seen,
    orders,
)
from db.models import Order, Payment
from db.session import transaction
from tests.billing.given import rows

CLINIC = "clinic:42"
RUPEE = 100
PRICE = 5_000 * RUPEE
"""A package of 5,000 credits with a bonus of 500."""


def request(key: str = "op-1", *, account: str = CLINIC, **wanted: Any) -> Order:
    """An order that was just recorded; by default for the package of Rs 5,000 at Razorpay."""
    if not wanted.keys() & {"package", "amount_paise", "plan"}:
        wanted["package"] = "credits_5000"
    gateway: GatewayName = wanted.pop("gateway", "razorpay")
    with transaction() as session:
        order, _ = orders.create(
            session, OrderRequest(account, gateway, **wanted), actor="test", operation_key=key
        )
        session.expunge(order)
        return order


def opened(order: Order, order_id: str = "order_1", **more: Any) -> None:
    """The gateway has answered."""
    with transaction() as session:
        orders.record_opened(session, order.id, order_facts(order, order_id, **more))


def order_facts(order: Order, order_id: str = "order_1", **more: Any) -> OrderFacts:
    gateway: GatewayName = "stripe" if order.gateway == "stripe" else "razorpay"
    usual: dict[str, Any] = {"amount_paise": order.amount_paise, "currency": order.currency}
    return OrderFacts(gateway, order_id, order.receipt, **usual | more)


def open_order(order_id: str = "order_1", key: str = "op-1", **wanted: Any) -> Order:
    """An order that can be paid."""
    order = request(key, **wanted)
    opened(order, order_id)
    return order


def news(seen: Seen = Seen.CAPTURED, payment_id: str = "pay_1", **more: Any) -> PaymentFacts:
    """What a gateway reports of a payment: Rs 5,000 on order_1, except for `more`."""
    usual: dict[str, Any] = {"amount_paise": PRICE, "currency": "INR", "order_id": "order_1"}
    return PaymentFacts(more.pop("gateway", "razorpay"), payment_id, seen, **usual | more)


def take_in(*facts: PaymentFacts) -> IntakeResult:
    """Take the facts in, in one transaction."""
    with transaction() as session:
        return payments.take_in_payments(session, facts, actor="test")


def payment(payment_id: str = "pay_1") -> Payment:
    with transaction() as session:
        found = session.query(Payment).filter_by(gateway_payment_id=payment_id).one()
        session.expunge(found)
        return found


def order_state(order: Order) -> object:
    return rows("SELECT state FROM billing_orders WHERE id = :id", id=order.id)[0][0]


def credit_rows() -> Sequence[tuple[object, ...]]:
    """The (key, amount) of the ledger rows that payments brought, in their order."""
    return rows(
        "SELECT idempotency_key, amount FROM credit_transactions"
        " WHERE kind IN ('top_up', 'bonus') ORDER BY id"
    )

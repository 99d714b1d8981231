"""Orders and payments as rows, for tests of what reads them."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from db.models import Account, Order, Payment
from db.session import transaction

CREATED = datetime(2026, 11, 20, 8, tzinfo=UTC)


def add_order(ref: str, gateway_order_id: str, **more: Any) -> int:
    """An open order of an account for 1,000 credits; its number."""
    values: dict[str, Any] = {
        "gateway": "razorpay", "receipt": f"receipt-{gateway_order_id}", "package": "credits_1000",
        "amount_paise": 100_000, "currency": "INR", "credits": 1_000, "bonus_credits": 0,
        "state": "open", "requested_by": "test", "created_at": CREATED, "updated_at": CREATED,
    }  # fmt: skip
    with transaction() as session:
        account = session.scalars(select(Account).where(Account.ref == ref)).one()
        order = Order(account_id=account.id, gateway_order_id=gateway_order_id, **(values | more))
        session.add(order)
        session.flush()
        return order.id


def add_payment(ref: str | None, payment_id: str, **more: Any) -> int:
    """A captured payment for 1,000 credits, of an account or of nobody; its number."""
    values: dict[str, Any] = {
        "gateway": "razorpay", "state": "captured", "amount_paise": 100_000, "currency": "INR",
        "credits": 1_000, "bonus_credits": 0, "method": "upi", "credited_at": CREATED,
        "created_at": CREATED, "updated_at": CREATED,
    }  # fmt: skip
    with transaction() as session:
        account_id = session.scalar(select(Account.id).where(Account.ref == ref))
        payment = Payment(account_id=account_id, gateway_payment_id=payment_id, **(values | more))
        session.add(payment)
        session.flush()
        return payment.id

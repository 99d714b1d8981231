"""What the simulated Razorpay remembers. Entities are dicts in the form of its API."""

from dataclasses import dataclass, field
from typing import Any

Entity = dict[str, Any]


@dataclass
class RazorpayStore:
    """Everything by id, in the order of its making."""

    orders: dict[str, Entity] = field(default_factory=dict)
    order_by_receipt: dict[str, str] = field(default_factory=dict)
    manual_capture: set[str] = field(default_factory=set)
    """Orders whose payments wait for our capture."""
    payments: dict[str, Entity] = field(default_factory=dict)
    cards: dict[str, Entity] = field(default_factory=dict)
    refunds: dict[str, Entity] = field(default_factory=dict)
    refund_by_key: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """Idempotency key -> payment id, body, refund id."""
    disputes: dict[str, Entity] = field(default_factory=dict)
    settlements: dict[str, Entity] = field(default_factory=dict)
    settled: dict[str, str] = field(default_factory=dict)
    """Id of a payment or refund -> its settlement."""

    def payments_of(self, order_id: str) -> list[Entity]:
        """Return the payments on an order, oldest first."""
        return [p for p in self.payments.values() if p["order_id"] == order_id]

    def refunds_of(self, payment_id: str) -> list[Entity]:
        """Return the refunds of a payment, oldest first."""
        return [r for r in self.refunds.values() if r["payment_id"] == payment_id]

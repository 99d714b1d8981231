"""Orders and payments: what the gateways say, and the credit that captured money brings."""

from billing.payments import (
    attachment,
    clawbacks,
    gateway_heartbeat,
    orders,
    plan_orders,
    queries,
    rows,
)
from billing.payments.credit_posting import Credited
from billing.payments.errors import CannotAttach, OrderAtOdds, UnknownPayment
from billing.payments.facts import GatewayName, OrderFacts, PaymentFacts, Seen
from billing.payments.intake import IN_DOUBT, Taken, of_order, take_in
from billing.payments.orders import OrderRequest
from billing.payments.queries import AmbiguousPayment

__all__ = [
    "AmbiguousPayment",
    "CannotAttach",
    "Credited",
    "GatewayName",
    "IN_DOUBT",
    "OrderAtOdds",
    "OrderFacts",
    "OrderRequest",
    "PaymentFacts",
    "Seen",
    "Taken",
    "UnknownPayment",
    "attachment",
    "clawbacks",
    "gateway_heartbeat",
    "of_order",
    "orders",
    "plan_orders",
    "queries",
    "rows",
    "take_in",
]

"""Orders and payments: what the gateways report, and the credit that captured money brings."""

from billing.payments import (
    attachment,
    attention,
    clawbacks,
    gateway_heartbeat,
    inquiries,
    locks,
    order_queries,
    orders,
    price_list,
    queries,
    unmatched,
)
from billing.payments.clawback_credit import clawback_subject
from billing.payments.credit_posting import CreditedPayment
from billing.payments.decision import IN_DOUBT_STATES
from billing.payments.errors import AmbiguousPayment, CannotAttach, OrderAtOdds, UnknownPayment
from billing.payments.facts import GatewayName, OrderFacts, PaymentFacts, Seen
from billing.payments.intake import IntakeResult, take_in_payments
from billing.payments.orders import OrderRequest

__all__ = [
    "AmbiguousPayment",
    "CannotAttach",
    "CreditedPayment",
    "GatewayName",
    "IN_DOUBT_STATES",
    "IntakeResult",
    "OrderAtOdds",
    "OrderFacts",
    "OrderRequest",
    "PaymentFacts",
    "Seen",
    "UnknownPayment",
    "attachment",
    "attention",
    "clawback_subject",
    "clawbacks",
    "gateway_heartbeat",
    "inquiries",
    "locks",
    "order_queries",
    "orders",
    "price_list",
    "queries",
    "take_in_payments",
    "unmatched",
]

"""Browser reports: what a browser says was paid after checkout, verified at the gateway.

For the API. A report alone credits nothing: only what the gateway says does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from billing import payments
from billing.payments import PaymentFacts, Seen, inquiries, orders, queries
from billing.plans import InvalidOrder
from db.models import Order, Payment
from db.session import transaction
from errors import TransientError
from gateways import registry
from gateways.protocol import Gateway
from tasks.operator_lines import payment_lines, write_to_log

log = structlog.get_logger()

ASK_SOON = timedelta(seconds=10)
"""When the inquiry on beat asks about a payment that is still in doubt."""


@dataclass(frozen=True, slots=True)
class PaymentStanding:
    """What is known of the payment that a browser reports."""

    payment_id: str | None
    """The gateway's id; None if nothing was paid on the order yet."""
    state: str
    credits_added: int
    """What the payment brought, whoever found out first."""


def verify_payment(
    *, gateway_order_id: str, payment_id: str | None, signature: str | None, actor: str
) -> PaymentStanding:
    """Ask the gateway what became of a payment, credit it if it is captured, and return it.

    The order must be known. For Razorpay the payment and the signature of its checkout are
    required: raises `InvalidOrder`, which names the field. If the gateway cannot be asked now, what
    is known so far is returned, and the inquiry on beat asks soon.
    """
    with transaction() as session:
        found = orders.find_with_account(session, gateway_order_id)
        if found is None:
            raise InvalidOrder("order_id", "is not known")
        order_row_id, name = found[0].id, found[0].gateway
        reported = _reported_facts(found[0], payment_id)
    gateway = registry.by_name(name)
    if gateway.name == "razorpay":
        _require_signature(gateway, gateway_order_id, payment_id, signature)
    else:
        payment_id = None  # nothing vouches for it, and an order there has only one
    facts: Sequence[PaymentFacts]
    try:
        facts = _ask(gateway, gateway_order_id, payment_id)
    except TransientError as error:
        log.warning("payment not verified yet", order=gateway_order_id, error=type(error).__name__)
        facts = reported
    with transaction() as session:
        taken = payments.take_in_payments(session, facts, actor=actor)
        payment = queries.find_of_order(session, order_row_id, payment_id)
        if payment is None or payment.state in payments.IN_DOUBT_STATES:
            inquiries.ask_within(orders.lock(session, order_row_id), ASK_SOON)
        standing = _standing(payment)
    write_to_log(payment_lines(taken))
    return standing


def _reported_facts(order: Order, payment_id: str | None) -> list[PaymentFacts]:
    """Return what a signed report says by itself: that there is such a payment."""
    if payment_id is None or order.gateway != "razorpay":
        return []
    return [
        PaymentFacts(
            gateway="razorpay",
            payment_id=payment_id,
            seen=Seen.CREATED,
            amount_paise=order.amount_paise,
            currency=order.currency,
            order_id=order.gateway_order_id,
        )
    ]


def _require_signature(
    gateway: Gateway, order_id: str, payment_id: str | None, signature: str | None
) -> None:
    for field, value in (("payment_id", payment_id), ("signature", signature)):
        if not value:
            raise InvalidOrder(field, "is required for an order at Razorpay")
    if not gateway.is_signed_by_gateway(order_id, payment_id or "", signature or ""):
        raise InvalidOrder("signature", "is not Razorpay's for this order and payment")


def _ask(gateway: Gateway, order_id: str, payment_id: str | None) -> Sequence[PaymentFacts]:
    if payment_id is None:
        return gateway.payments_of(order_id)
    facts = gateway.payment(payment_id)
    if facts.order_id != order_id:
        raise InvalidOrder("payment_id", "is not a payment of this order")
    return [facts]


def _standing(payment: Payment | None) -> PaymentStanding:
    if payment is None:
        return PaymentStanding(None, "created", 0)
    brought = payment.credits + payment.bonus_credits
    return PaymentStanding(payment.gateway_payment_id, payment.state, brought)

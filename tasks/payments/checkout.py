"""Buying, as the API asks for it: open an order at a gateway; verify what a browser says was paid.

The gateway is called between two transactions, never inside one: the order is a row before the
gateway hears of it, and whatever the answer is, or if none comes, the row says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from billing import payments
from billing.payments import (
    OrderAtOdds,
    OrderRequest,
    PaymentFacts,
    Seen,
    inquiries,
    orders,
    queries,
    unmatched,
)
from billing.plans import InvalidOrder
from db.models import Order, Payment
from db.session import transaction
from errors import TransientError
from gateways import registry
from gateways.errors import GatewayRefused
from gateways.protocol import Gateway, NewOrder
from tasks.operator_lines import payment_lines, write_to_log

log = structlog.get_logger()

ASK_SOON = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """An order as it stands."""

    order_id: str | None
    """The gateway's; None while it is not known."""
    gateway: str
    account: str
    public_key: str
    """What a browser needs to open the gateway's checkout."""
    amount_paise: int
    currency: str
    credits: int
    bonus_credits: int
    state: str
    checkout_url: str | None


@dataclass(frozen=True, slots=True)
class PaymentStanding:
    """What is known of a payment that a browser speaks of."""

    payment_id: str | None
    """The gateway's; None where nothing was paid on the order yet."""
    state: str
    credits_added: int
    """What the payment brought, whoever found out first."""


class OrderRefused(InvalidOrder):
    """The gateway would not open the order."""

    def __init__(self, reason: str) -> None:
        super().__init__("gateway", f"would not open the order: {reason}")


def place_order(wish: OrderRequest, *, actor: str, operation_key: str) -> PlacedOrder:
    """Record the wish, open its order at the gateway, and return it; once for an operation key.

    Where the answer was lost, a repeat looks the order up. Raises `UnknownAccount`,
    `InvalidOrder`, `OrderRefused`, `IdempotencyConflict`, `GatewayNotConfigured`, or a
    `TransientError`: the outcome is then open, and a repeat or the sweep finds out.
    """
    gateway = registry.by_name(wish.gateway)
    with transaction() as session:
        order, is_new = orders.create(session, wish, actor=actor, operation_key=operation_key)
        placed, order_id = _placed(order, wish.account, gateway), order.id
        request, opened_at = _new_order(order, wish.account), order.created_at
        last_error = order.last_error
    if placed.state == "refused":
        reason = last_error or "see `billing audit-log`"
        raise OrderRefused(f"{reason}; to order again, use a new Idempotency-Key")
    if placed.order_id is not None:
        return placed
    try:
        facts = None if is_new else gateway.find_order(request.receipt, opened_at=opened_at)
        facts = facts or gateway.open_order(request)
    except GatewayRefused as error:
        with transaction() as session:
            orders.record_refused(session, order_id, error)
        raise OrderRefused(error.reason) from error
    except TransientError as error:
        with transaction() as session:
            orders.record_unanswered(session, order_id, error)
        raise
    try:
        with transaction() as session:
            order = orders.record_opened(session, order_id, facts)
            # What was paid while our own answer was under way.
            taken = payments.take_in_payments(
                session, unmatched.facts_for_order(session, order), actor=actor
            )
            placed = _placed(order, wish.account, gateway)
    except OrderAtOdds as error:
        with transaction() as session:
            orders.record_refused(session, order_id, error)
        raise OrderRefused(str(error)) from error
    write_to_log(payment_lines(taken))
    return placed


def verify_payment(
    *, gateway_order_id: str, payment_id: str | None, signature: str | None, actor: str
) -> PaymentStanding:
    """Find out at the gateway what became of a payment, credit it if it is captured, and tell.

    The order must be known (the caller has looked). For Razorpay the payment and the signature of
    its checkout are required: raises `InvalidOrder` naming the field. Where the gateway cannot be
    asked now, what is known so far is told, and the sweep asks soon.
    """
    with transaction() as session:
        found = orders.find_with_account(session, gateway_order_id)
        if found is None:
            raise InvalidOrder("order_id", "is not known")
        order_id, name = found[0].id, found[0].gateway
        claimed = _claimed(found[0], payment_id)
    gateway = registry.by_name(name)
    if gateway.name == "razorpay":
        _require_signature(gateway, gateway_order_id, payment_id, signature)
    else:
        payment_id = None  # nothing vouches for it, and an order there has but one
    facts: Sequence[PaymentFacts]
    try:
        facts = _ask(gateway, gateway_order_id, payment_id)
    except TransientError as error:
        log.warning("payment not verified yet", order=gateway_order_id, error=type(error).__name__)
        facts = claimed
    with transaction() as session:
        taken = payments.take_in_payments(session, facts, actor=actor)
        payment = queries.find_of_order(session, order_id, payment_id)
        if payment is None or payment.state in payments.IN_DOUBT_STATES:
            inquiries.ask_within(orders.lock(session, order_id), ASK_SOON)
        verified = _verified(payment)
    write_to_log(payment_lines(taken))
    return verified


def _new_order(order: Order, account: str) -> NewOrder:
    what = order.plan or order.package or f"{order.credits + order.bonus_credits:,} credits"
    return NewOrder(
        receipt=order.receipt,
        amount_paise=order.amount_paise,
        currency=order.currency,
        account=account,
        title=what.replace("_", " "),
        return_url=order.return_url,
    )


def _placed(order: Order, account: str, gateway: Gateway) -> PlacedOrder:
    return PlacedOrder(
        order_id=order.gateway_order_id,
        gateway=order.gateway,
        account=account,
        public_key=gateway.public_key,
        amount_paise=order.amount_paise,
        currency=order.currency,
        credits=order.credits,
        bonus_credits=order.bonus_credits,
        state=order.state,
        checkout_url=order.checkout_url,
    )


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


def _claimed(order: Order, payment_id: str | None) -> list[PaymentFacts]:
    """Return what a signed word of the browser tells by itself: that there is such a payment."""
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


def _verified(payment: Payment | None) -> PaymentStanding:
    if payment is None:
        return PaymentStanding(None, "created", 0)
    brought = payment.credits + payment.bonus_credits
    return PaymentStanding(payment.gateway_payment_id, payment.state, brought)

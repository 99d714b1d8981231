"""Placing an order, and how one stands, for the API: a row first, then the order at the gateway.

The gateway is called between two transactions, never inside one. Whatever it answers, or if it does
not, the row records it. What the browser reports after it was paid: `browser_reports.py`.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from billing import payments
from billing.payments import (
    OrderAtOdds,
    OrderFacts,
    OrderRequest,
    order_queries,
    orders,
    unmatched,
)
from billing.plans import InvalidOrder
from db.models import Order
from db.session import transaction
from errors import TransientError
from gateways import registry
from gateways.errors import GatewayKeyRefused, GatewayNotConfigured, GatewayRefused
from gateways.protocol import Gateway, NewOrder
from tasks.operator_lines import payment_lines, write_to_log


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """An order as it stands."""

    order_id: str | None
    """The gateway's id; None while it is not known."""
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
    package: str | None
    plan: str | None
    payment_id: str | None
    """The gateway's id of the payment that paid it."""
    created_at: datetime


class OrderRefused(InvalidOrder):
    """The gateway would not open the order."""

    def __init__(self, reason: str) -> None:
        super().__init__("gateway", f"would not open the order: {reason}")


def place_order(wish: OrderRequest, *, actor: str, operation_key: str) -> PlacedOrder:
    """Record the wish, open its order at the gateway, and return it; once per operation key.

    If the answer was lost, a repeat looks the order up. Raises `UnknownAccount`, `InvalidOrder`,
    `OrderRefused`, `IdempotencyConflict`, `GatewayNotConfigured`, or a `TransientError`: then the
    outcome is open, and a repeat or the inquiry on beat finds it out.
    """
    gateway = registry.by_name(wish.gateway)
    with transaction() as session:
        order, is_new = orders.create(session, wish, actor=actor, operation_key=operation_key)
        placed, row_id = _placed(session, order, wish.account, gateway.public_key), order.id
        request, created_at = _new_order(order, wish.account), order.created_at
        last_error = order.last_error
    if placed.state == "refused":
        reason = last_error or "see `billing audit-log`"
        raise OrderRefused(f"{reason}; to order again, use a new Idempotency-Key")
    if placed.order_id is not None:
        return placed
    asked_at = None if is_new else created_at
    facts = _open_at_gateway(gateway, row_id, request, asked_at=asked_at)
    try:
        with transaction() as session:
            order = orders.record_opened(session, row_id, facts)
            # What was paid while the gateway's answer was under way.
            waiting = unmatched.facts_for_order(session, order)
            taken = payments.take_in_payments(session, waiting, actor=actor)
            placed = _placed(session, order, wish.account, gateway.public_key)
    except OrderAtOdds as error:
        _record_refused(row_id, error)
        raise OrderRefused(str(error)) from error
    write_to_log(payment_lines(taken))
    return placed


def find_order(
    session: Session, order_id: str, *, product: str | None, account_id: int | None
) -> PlacedOrder | None:
    """Return an order by the gateway's id as it stands; None: there is none within reach.

    No gateway is asked.
    """
    found = order_queries.find_in_reach(session, order_id, product=product, account_id=account_id)
    if found is None:
        return None
    order, account = found
    return _placed(session, order, account, _public_key(order.gateway))


def _open_at_gateway(
    gateway: Gateway, row_id: int, request: NewOrder, *, asked_at: datetime | None
) -> OrderFacts:
    """Open the order, or find the one opened at about `asked_at`; record how it fails."""
    try:
        facts = gateway.find_order(request.receipt, opened_at=asked_at) if asked_at else None
        return facts or gateway.open_order(request)
    except GatewayRefused as error:
        _record_refused(row_id, error)
        raise OrderRefused(error.reason) from error
    except TransientError as error:
        with transaction() as session:
            orders.record_unanswered(session, row_id, error)
        raise


def _record_refused(row_id: int, error: GatewayRefused | OrderAtOdds) -> None:
    with transaction() as session:
        orders.record_refused(session, row_id, error)


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


def _public_key(gateway: str) -> str:
    """Return the key for the gateway's checkout; empty if this server has none by now."""
    try:
        return registry.by_name(gateway).public_key
    except (GatewayNotConfigured, GatewayKeyRefused):
        return ""


def _placed(session: Session, order: Order, account: str, public_key: str) -> PlacedOrder:
    return PlacedOrder(
        order_id=order.gateway_order_id,
        gateway=order.gateway,
        account=account,
        public_key=public_key,
        amount_paise=order.amount_paise,
        currency=order.currency,
        credits=order.credits,
        bonus_credits=order.bonus_credits,
        state=order.state,
        checkout_url=order.checkout_url,
        package=order.package,
        plan=order.plan,
        payment_id=order_queries.find_payment_id(session, order),
        created_at=order.created_at,
    )

"""Inquiry at the gateways, on beat: unanswered orders, unpaid orders, payments in doubt.

What is due stands in the orders' rows (`next_ask_at`), so a tick may be missed or doubled, and a
day of downtime is caught up. This finds the payment whose webhook never came.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from billing import audit, payments
from billing.payments import (
    GatewayName,
    PaymentFacts,
    Seen,
    gateway_heartbeat,
    inquiries,
    orders,
    unmatched,
)
from db.models import Order
from db.session import transaction
from errors import BillingError, PermanentError, TransientError
from gateways import registry
from gateways.errors import GatewayKeyRefused, GatewayNotFound
from gateways.protocol import Gateway
from service import request_ids
from service.disclosure import shown_error
from tasks.operator_lines import payment_lines, write_to_log
from tasks.plumbing import mutex
from worker.app import app

log = structlog.get_logger()

ACTOR = "system:payments"
ASK_SECONDS = 20
"""A tick leaves the rest to the next after this; one more call still ends in the task's limit."""
_WAITING_AT_ONCE = 200


@app.task(name="tasks.payments.ask", **mutex.TIME_LIMITS)
def ask() -> None:
    """Ask the gateways about due orders, and place money whose order is known by now."""
    with mutex.try_lock("asking_about_orders") as is_held:
        if is_held:
            _ask_all(stop_at=time.monotonic() + ASK_SECONDS)


def _ask_all(*, stop_at: float) -> None:
    with audit.asked_by(ACTOR, door="beat"):
        place_waiting()
        for name in registry.configured():
            ask_gateway(name, stop_at=stop_at)
        with transaction() as session:
            silent = gateway_heartbeat.report_silent(session)
    for gateway in silent:
        log.error("gateway is silent", gateway=gateway, hint="is its webhook still switched on?")


def place_waiting() -> None:
    """Take in again the unmatched payments whose order is known by now.

    One by one: a payment that cannot be placed delays no other, and no question to a gateway.
    """
    with transaction() as session:
        waiting = unmatched.facts_with_known_order(session, limit=_WAITING_AT_ONCE)
    for fact in waiting:
        with request_ids.bound(fact.request_id):
            _place(fact)


def _place(fact: PaymentFacts) -> None:
    try:
        _take_in([fact])
    except BillingError as error:
        log.error("payment not placed", payment=fact.payment_id, error=shown_error(error))


def ask_gateway(name: GatewayName, *, stop_at: float) -> None:
    """Ask one gateway about its due orders until none is left, time is up or it does not answer.

    `stop_at` is by the monotonic clock.
    """
    try:
        gateway = registry.by_name(name)
    except GatewayKeyRefused as error:
        log.error("gateway not asked", error=shown_error(error))
        return
    while time.monotonic() < stop_at:
        with transaction() as session:
            due = [
                _DueOrder.of(order) for order in inquiries.lease_due(session, gateway=name, limit=1)
            ]
        if not due:
            return
        with request_ids.bound(due[0].request_id):
            answered = _ask_about(gateway, due[0])
        if not answered:
            return


@dataclass(frozen=True, slots=True)
class _DueOrder:
    """An order to ask about, as it stood when it was leased."""

    id: int
    receipt: str
    gateway_order_id: str | None
    created_at: datetime
    forgotten: bool
    request_id: str | None
    """Of the request that placed it."""

    @classmethod
    def of(cls, order: Order) -> "_DueOrder":
        return cls(
            order.id,
            order.receipt,
            order.gateway_order_id,
            order.created_at,
            inquiries.is_forgotten(order),
            order.request_id,
        )


def _ask_about(gateway: Gateway, due: _DueOrder) -> bool:
    """Ask about one order; return False if the gateway does not answer."""
    try:
        _take_in_order(gateway, due)
    except TransientError as error:
        log.warning("gateway not asked", order=due.receipt, error=shown_error(error))
        with transaction() as session:
            inquiries.record_no_answer(session, due.id, error)
            inquiries.postpone(session, gateway.name)
        return False
    except PermanentError as error:
        # It is due again later; others must not wait for it.
        log.error("order not settled", order=due.receipt, error=shown_error(error))
        with transaction() as session:
            inquiries.record_failure(session, due.id, error)
    return True


def _take_in_order(gateway: Gateway, due: _DueOrder) -> None:
    order_id = due.gateway_order_id or _look_up(gateway, due)
    if order_id is None:
        return
    facts = gateway.payments_of(order_id)
    states = _take_in(facts)
    for fact in facts:
        if fact.seen is Seen.AUTHORIZED and _is_to_be_captured(due, fact):
            states += _take_in([gateway.capture(fact)])
    # After its payments: whatever was paid on an order before it ended has been seen.
    order = gateway.order(order_id)
    with transaction() as session:
        in_doubt = any(state in payments.IN_DOUBT_STATES for state in states)
        inquiries.record_answer(session, due.id, order, in_doubt=in_doubt)


def _look_up(gateway: Gateway, due: _DueOrder) -> str | None:
    """Return the gateway's id of an order whose opening was not answered, or None."""
    facts = gateway.find_order(due.receipt, opened_at=due.created_at)
    with transaction() as session:
        if facts is not None:
            order = orders.record_opened(session, due.id, facts, late=True)
            taken = payments.take_in_payments(
                session, unmatched.facts_for_order(session, order), actor=ACTOR
            )
        elif due.forgotten:
            missing = GatewayNotFound(gateway.name, "no order has this receipt", status=None)
            orders.record_refused(session, due.id, missing)
    if facts is None:
        return None
    write_to_log(payment_lines(taken))
    return facts.order_id


def _take_in(facts: Sequence[PaymentFacts]) -> list[str]:
    with transaction() as session:
        taken = payments.take_in_payments(session, facts, actor=ACTOR)
    write_to_log(payment_lines(taken))
    return taken.states


def _is_to_be_captured(due: _DueOrder, fact: PaymentFacts) -> bool:
    """Tell whether an authorized payment is for an order that waits for exactly this money."""
    with transaction() as session:
        order = orders.lock(session, due.id)
        wanted = (order.amount_paise, order.currency)
        return order.state != "paid" and (fact.amount_paise, fact.currency) == wanted

"""Inquiries: when the gateway is asked about an order, and what its answer changes.

An order's row says when the gateway is asked next (`next_ask_at`): in growing intervals until the
order is settled, and once more after it was paid. An order that nobody pays expires.

Called by `tasks/payments/inquiry.py`, which calls the gateway between two of these functions,
never inside a transaction.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

import clock
from billing import catalog
from billing.payments import orders
from billing.payments.facts import OrderFacts
from billing.payments.orders import ANSWER_WITHIN, RETRY_AFTER, UNANSWERED_STATES
from db.models import Order

SETTLED_STATES = ("paid", "refused", "expired")
FORGOTTEN_AFTER = timedelta(minutes=10)
"""An order so old that the gateway does not know was never opened there: no call is under way."""
LAST_LOOK = timedelta(days=1)
"""How long after an order was paid it is asked about once more: this finds a second payment on it
whose webhook never came."""
GIVEN_UP_UNANSWERED_AFTER = timedelta(days=30)
"""No outage lasts as long: an order still unanswered then has a problem of its own."""
_LONGEST_INTERVAL = timedelta(days=1)


def lease_due(session: Session, *, gateway: str, limit: int) -> Sequence[Order]:
    """Return orders to ask the gateway about now, and set the next time of each.

    Commit before asking: so two processes never ask about one order at once, and an order that
    kills its process is asked about again at its next time.
    """
    now = clock.now()
    due = session.scalars(
        select(Order)
        .where(Order.next_ask_at <= now, Order.gateway == gateway)
        .order_by(Order.next_ask_at, Order.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for order in due:
        order.next_ask_at = now + _interval(order, now)
        order.asks += 1
    return due


def is_forgotten(order: Order) -> bool:
    """Return whether an order that the gateway does not know is too old to be opened still."""
    return clock.now() - order.created_at >= FORGOTTEN_AFTER


def record_answer(
    session: Session, order_id: int, facts: OrderFacts, *, in_doubt: bool = False
) -> None:
    """Record the gateway's answer about an order whose payments were taken in.

    A settled order is asked about no more, unless `in_doubt`: one of its payments may still be
    captured. No order is asked about for ever.
    """
    order = orders.record_opened(session, order_id, facts, late=True)
    if _is_past_its_time(order):
        _give_up(session, order)
    elif order.state in SETTLED_STATES and not in_doubt:
        order.next_ask_at = None


def record_failure(session: Session, order_id: int, error: Exception) -> None:
    """Record what is wrong with an order; it is asked about again at its next time.

    Not for ever: an order that is past its time is given up.
    """
    order = orders.lock(session, order_id)
    orders.set_last_error(order, error)
    if _is_past_its_time(order):
        _give_up(session, order)


def record_no_answer(session: Session, order_id: int, error: Exception) -> None:
    """Record that the gateway did not answer about an order; it is asked again within minutes."""
    order = orders.lock(session, order_id)
    orders.set_last_error(order, error)
    if clock.now() - order.created_at > GIVEN_UP_UNANSWERED_AFTER:
        _give_up(session, order)
    elif order.next_ask_at is not None:
        ask_within(order, min(RETRY_AFTER * order.asks, 10 * RETRY_AFTER))


_POSTPONE = text("""
UPDATE billing_orders SET next_ask_at = :until
 WHERE id IN (SELECT id FROM billing_orders WHERE gateway = :gateway AND next_ask_at < :until
               ORDER BY id FOR UPDATE SKIP LOCKED)
""")


def postpone(session: Session, gateway: str) -> None:
    """Ask a gateway that does not answer about no order for a minute."""
    session.execute(_POSTPONE, {"gateway": gateway, "until": clock.now() + RETRY_AFTER})


def ask_within(order: Order, wait: timedelta) -> None:
    """Have the gateway asked about a locked order after `wait`, unless it is asked earlier."""
    soon = clock.now() + wait
    if order.next_ask_at is None or order.next_ask_at > soon:
        order.next_ask_at = soon


def _is_past_its_time(order: Order) -> bool:
    # Days, since a payment that failed may be authorized late.
    return clock.now() - order.created_at > timedelta(
        days=catalog.get().payments.give_up_after_days
    )


def _give_up(session: Session, order: Order) -> None:
    if order.state == "open":
        orders.move(session, order, "expired", next_ask_at=None)
    elif order.state in UNANSWERED_STATES:
        orders.move(session, order, "refused", next_ask_at=None)
    order.next_ask_at = None


def _interval(order: Order, now: datetime) -> timedelta:
    """Return the time to the next inquiry: about the age of the order, so that it doubles."""
    # By age and not by the number of inquiries: after an hour in which a gateway was asked in vain
    # each minute, its orders must not wait for a day.
    first = ANSWER_WITHIN
    if order.state not in UNANSWERED_STATES:
        first = timedelta(minutes=catalog.get().payments.ask_after_minutes)
    return min(now - order.created_at + first, _LONGEST_INTERVAL)

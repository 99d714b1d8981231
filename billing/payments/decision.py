r"""What one fact of a gateway changes of a payment and its order. Pure: nothing is read or written.

Called by `billing/payments/intake.py` with locked rows. Facts come in any order and any number and
end in the same state:

    created -> authorized -> captured -> partially_refunded -> refunded
          \-> failed ------/    (a failed payment may be authorized late)

Captured money without a known order is `unmatched` until the order is known. Money that is not
what was ordered, or that comes for an order already paid, is `quarantined`: visible, and credited
only if an operator attaches it. A trigger of the database refuses every other transition.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from billing import catalog, instants
from billing.payments.facts import PaymentFacts, Seen
from billing.payments.inquiries import LAST_LOOK
from billing.payments.orders import UNOPENED_STATES
from db.models import Order, Payment

IN_DOUBT_STATES = ("created", "authorized", "failed")
"""States of a payment whose money may still be captured, even if its order is already paid."""
UNSETTLED_STATES = (*IN_DOUBT_STATES, "unmatched")
"""States that a capture leads on from."""


@dataclass(frozen=True, slots=True)
class OrderMove:
    """A new state of an order."""

    state: str
    next_ask_at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one payment and its order."""

    state: str
    reason: str | None
    """Why the payment is quarantined or unmatched."""
    refunded_paise: int
    details: Mapping[str, Any] = field(default_factory=dict)
    """Other columns of the payment that get a value."""
    pays_order: bool = False
    """The money is what was ordered: the order's credit is due, or the year of its plan."""
    gateway_order_id: str | None = None
    """The gateway's id of the order, if it was not known before."""
    order_moves: tuple[OrderMove, ...] = ()
    ask_within: timedelta | None = None
    """Have the gateway asked about the order after this time; None: as planned."""


def decide(
    fact: PaymentFacts,
    payment: Payment,
    order: Order | None,
    *,
    now: datetime,
    waits: catalog.Payments,
    refusal: str | None = None,
) -> Change:
    """Return what a fact changes of a payment and of the order that the payment is for.

    `order` is None while the order is not known. `refusal` is the reason why money
    that fits the order does not pay it: the account's plan does not take the year, or the payment
    was credited by hand; None: it pays.
    """
    details = _details(fact, payment, now)
    amount_paise: int = details.get("amount_paise", payment.amount_paise)
    state, reason = _next_state(fact, payment, order, details, refusal)
    pays_order = state == "captured" and payment.state != "captured"
    state, reason, refunded_paise = _with_refunds(state, reason, fact, payment, amount_paise)
    if order is None:
        return Change(state, reason, refunded_paise, details)
    details["order_id"] = order.id
    if payment.credited_at is None:  # else an operator may have given it to another account
        details["account_id"] = order.account_id
    if pays_order:
        details |= {
            "credits": order.credits,
            "bonus_credits": order.bonus_credits,
            "credited_at": now,
        }
    is_new_doubt = state in IN_DOUBT_STATES and state != payment.state
    return Change(
        state,
        reason,
        refunded_paise,
        details,
        pays_order,
        gateway_order_id=fact.order_id if order.gateway_order_id is None else None,
        order_moves=_order_moves(fact, order, pays_order=pays_order, now=now, waits=waits),
        ask_within=_patience(state, waits) if is_new_doubt else None,
    )


def _details(fact: PaymentFacts, payment: Payment, now: datetime) -> dict[str, Any]:
    """Return what the fact adds to the payment apart from its state; a known value stays."""
    happened_at = fact.happened_at and instants.not_ahead(fact.happened_at, known_at=now)
    reported = {
        "gateway_order_id": fact.order_id,
        "receipt": fact.receipt,
        "method": fact.method,
        "fee_paise": fact.fee_paise,
        "tax_paise": fact.tax_paise,
        "happened_at": happened_at,
        "error_code": fact.error_code,
        "error_reason": fact.error_reason,
    }
    details: dict[str, Any] = {
        name: value
        for name, value in reported.items()
        if value is not None and getattr(payment, name) is None
    }
    if fact.seen is Seen.CAPTURED and payment.credited_at is None:
        details |= {"amount_paise": fact.amount_paise, "currency": fact.currency}
        # A payment that failed may be paid days later by another card: the capture's time counts.
        if happened_at is not None:
            details["happened_at"] = happened_at
    return details


def _next_state(
    fact: PaymentFacts,
    payment: Payment,
    order: Order | None,
    details: Mapping[str, Any],
    refusal: str | None,
) -> tuple[str, str | None]:
    """Return the payment's state and reason after the fact, before refunds count."""
    match fact.seen:
        case Seen.FAILED if payment.state in {"created", "authorized"}:
            return "failed", None
        case Seen.AUTHORIZED if payment.state in {"created", "failed"}:
            return "authorized", None
        case Seen.RETURNED if payment.state in IN_DOUBT_STATES:
            return "refunded", None
        case Seen.CAPTURED if payment.state in UNSETTLED_STATES and order is None:
            names = ("gateway_order_id", "receipt")
            has_name = any(details.get(name) or getattr(payment, name) for name in names)
            return "unmatched", "order_not_known" if has_name else "no_order"
        case Seen.CAPTURED if payment.state in UNSETTLED_STATES and order is not None:
            mismatch = _mismatch(fact, order) or refusal
            return ("quarantined", mismatch) if mismatch else ("captured", None)
    return payment.state, payment.reason


def _mismatch(fact: PaymentFacts, order: Order) -> str | None:
    """Return why captured money does not pay the order; None: it does."""
    if fact.currency != order.currency:
        return "currency_mismatch"
    if fact.amount_paise != order.amount_paise:
        return "amount_mismatch"
    if order.state == "paid":
        return "order_paid_already"
    return None


def _with_refunds(
    state: str, reason: str | None, fact: PaymentFacts, payment: Payment, amount_paise: int
) -> tuple[str, str | None, int]:
    """Return state, reason and refunded paise; what was refunded grows and never shrinks."""
    if fact.seen is Seen.RETURNED and payment.state in IN_DOUBT_STATES:
        return state, reason, amount_paise
    # What was reported before counts as well: perhaps the order is known only now.
    refunded_paise = max(min(fact.refunded_paise, amount_paise), payment.refunded_paise)
    if not refunded_paise or state in IN_DOUBT_STATES:
        return state, reason, payment.refunded_paise
    if refunded_paise == amount_paise:
        return "refunded", None, refunded_paise
    return "partially_refunded" if state == "captured" else state, reason, refunded_paise


def _order_moves(
    fact: PaymentFacts, order: Order, *, pays_order: bool, now: datetime, waits: catalog.Payments
) -> tuple[OrderMove, ...]:
    moves = []
    is_first_sight = order.gateway_order_id is None and fact.order_id is not None
    if is_first_sight and order.state in UNOPENED_STATES:
        moves.append(OrderMove("open", now + timedelta(minutes=waits.ask_after_minutes)))
    if pays_order:
        moves.append(OrderMove("paid", now + LAST_LOOK))
    return tuple(moves)


def _patience(state: str, waits: catalog.Payments) -> timedelta:
    """Return how long a payment in doubt is left to the gateway before it is asked."""
    if state == "authorized":
        return timedelta(seconds=waits.capture_after_seconds)
    return timedelta(minutes=waits.ask_after_minutes)

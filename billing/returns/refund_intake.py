"""What the gateways report of refunds: ours, those of their dashboards, and their own.

`record_facts` updates the rows; `settle` brings the credit in line, each refund in a transaction of
its own. Called by `tasks/`.

Locks: the payment, then the refund, then the account.
"""

from collections.abc import Sequence

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

import clock
from billing.payments import attention, clawbacks, locks
from billing.returns import refund_lifecycle
from billing.returns.facts import RefundFacts
from billing.returns.refund_lifecycle import ASK_AFTER, UNCONFIRMED
from db.models import Payment, Refund
from service import request_ids


def record_facts(session: Session, facts: Sequence[RefundFacts], *, actor: str) -> list[str]:
    """Update the refunds from what the gateways report; return the state of each.

    `waits` instead of a state: a refund of ours on the payment has no answer yet and may be this
    one; the sweep lists them all. Posts nothing: `settle` does, for the ids that
    `refund_lifecycle.unsettled` returns.
    """
    states: dict[int, str] = {}

    # In one order everywhere: payments are locked one after the other.
    def order(i: int) -> tuple[str, str, bool]:
        # Those with our receipt first: the others need not wait for what these explain.
        return facts[i].gateway, facts[i].payment_id, facts[i].receipt is None

    for i in sorted(range(len(facts)), key=order):
        with request_ids.bound(facts[i].request_id):
            states[i] = _record_fact(session, facts[i], actor)
    return [states[i] for i in range(len(facts))]


def settle(session: Session, refund_id: int, *, actor: str) -> bool:
    """Bring the credit in line with the refund's state; return whether that is done."""
    refund = refund_lifecycle.lock(session, refund_id)
    if not clawbacks.settle(session, refund, actor=actor):
        return False
    payment = session.get_one(Payment, refund.payment_id)
    if refund.state == "processed":
        # The refund may have been reported before the payment.
        _update_refunded_paise(session, payment, failed=False)
    return True


def recount_refunded(session: Session, payment_id: int) -> None:
    """Set a payment's refunded paise to its processed refunds, after the gateway listed them all.

    An old event of a refund that has failed since may have set more.
    """
    _update_refunded_paise(session, clawbacks.lock_payment(session, payment_id), failed=True)


def _record_fact(session: Session, fact: RefundFacts, actor: str) -> str:
    payment = locks.lock_or_add_payment(session, fact.gateway, fact.payment_id, now=clock.now())
    refund = _find_refund(session, fact)
    if refund is None:
        if _may_be_ours(session, payment, fact):
            return "waits"
        refund = _add(session, payment, fact, actor)
    elif refund.gateway_refund_id is None:
        refund.gateway_refund_id = fact.refund_id
        if refund.state == "failed":  # the gateway refused it, and has it all the same
            refund_lifecycle.move(session, refund, "submitted")
    before = refund.state
    if fact.seen != "failed":
        refund.last_error = None  # there is an answer: nobody has to look
    _advance(session, refund, fact)
    if refund.state == "processed" or before == "processed":
        _update_refunded_paise(session, payment, failed=refund.state == "failed")
    session.flush()
    return refund.state


def _find_refund(session: Session, fact: RefundFacts) -> Refund | None:
    by_id = Refund.gateway_refund_id == fact.refund_id
    query = select(Refund).where(Refund.gateway == fact.gateway).with_for_update()
    if fact.receipt:
        # A second refund under our receipt is another: the gateway forgot the key, and paid twice.
        ours = (Refund.receipt == fact.receipt) & Refund.gateway_refund_id.is_(None)
        query = query.where(or_(by_id, ours))
    else:
        query = query.where(by_id)
    return session.scalars(query.execution_options(populate_existing=True)).first()


def _may_be_ours(session: Session, payment: Payment, fact: RefundFacts) -> bool:
    """Return whether a fact may be about a refund of ours without an id; make such ones due."""
    if fact.receipt is not None:
        return False
    unconfirmed = session.scalars(
        select(Refund).where(
            Refund.payment_id == payment.id,
            Refund.state.in_(UNCONFIRMED),
            Refund.gateway_refund_id.is_(None),
            Refund.amount_paise == fact.amount_paise,
        )
    ).all()
    for refund in unconfirmed:
        refund.next_ask_at = min(refund.next_ask_at or clock.now(), clock.now())
    return bool(unconfirmed)


def _add(session: Session, payment: Payment, fact: RefundFacts, actor: str) -> Refund:
    now = clock.now()
    refund = Refund(
        payment_id=payment.id, gateway=fact.gateway, gateway_refund_id=fact.refund_id,
        receipt=None, amount_paise=fact.amount_paise, state="submitted",
        reason="started at the gateway", requested_by=actor, created_at=now, updated_at=now,
        position="none", credits=0, bonus_credits=0, debt=0, takes=0, asks=0,
        next_ask_at=now + ASK_AFTER,
    )  # fmt: skip
    session.add(refund)
    session.flush()
    refund_lifecycle.record_change(session, refund, payment, None)
    return refund


_NEXT = {
    "submitted": {"requested", "unknown"},
    "processed": {"requested", "unknown", "submitted"},
    # A bank may send money back that was under way, even after the refund was processed.
    "failed": {"requested", "unknown", "submitted", "processed"},
}
"""What is seen -> the states from which the refund moves on to it."""


def _advance(session: Session, refund: Refund, fact: RefundFacts) -> None:
    if refund.state in _NEXT[fact.seen]:
        refund_lifecycle.move(session, refund, fact.seen)
        if fact.seen != "submitted":
            refund.next_ask_at = None


_COUNTING = ("captured", "partially_refunded", "refunded", "quarantined", "unmatched")
"""States of a payment that counts how much of it is refunded."""


def _update_refunded_paise(session: Session, payment: Payment, *, failed: bool) -> None:
    """Set the payment's refunded paise and state; they shrink only after a refund has `failed`."""
    session.flush()
    back = session.scalar(
        select(func.sum(Refund.amount_paise)).where(
            Refund.payment_id == payment.id, Refund.state == "processed"
        )
    )
    refunded_paise = min(int(back or 0), payment.amount_paise)
    if payment.state not in _COUNTING or (refunded_paise <= payment.refunded_paise and not failed):
        return
    payment.refunded_paise, payment.updated_at = refunded_paise, clock.now()
    if refunded_paise == payment.amount_paise:
        payment.state, payment.reason = "refunded", None
    elif payment.credited_at is not None:
        payment.state = "partially_refunded" if refunded_paise else "captured"
    elif payment.state == "refunded":  # credited to nobody, and our money: operators look at it
        payment.state, payment.reason = "quarantined", "refund_failed"
        attention.report(session, payment)

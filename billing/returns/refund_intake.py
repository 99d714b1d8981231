"""What the gateways tell of refunds: ours, those of their dashboards, and their own.

`take_in` brings the rows up to it; `settle` brings the credit in line, each refund in a transaction
of its own. Called by `tasks/`.

Locks: the payment, then the refund, then the account.
"""

from collections.abc import Sequence

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

import clock
from billing.payments import clawbacks as claims
from billing.payments import locks
from billing.returns import refund_rows
from billing.returns.facts import RefundFacts
from billing.returns.refund_rows import ASK_AFTER, UNCONFIRMED
from db.models import Payment, Refund


def take_in(session: Session, facts: Sequence[RefundFacts], *, actor: str) -> list[str]:
    """Bring the refunds up to what the gateways say; return what became of each fact.

    `waits`: a refund of ours on the payment has no answer yet and may be this one; the sweep lists
    them all. Posts nothing: what the credit needs is done by `settle`, for whatever `unsettled`
    names; of a payment that is not credited yet, when it is.
    """
    states: dict[int, str] = {}

    # In one order everywhere: payments are locked one after the other.
    def order(i: int) -> tuple[str, str, bool]:
        # Those with our receipt first: what they explain, nothing else has to wait for.
        return facts[i].gateway, facts[i].payment_id, facts[i].receipt is None

    for i in sorted(range(len(facts)), key=order):
        states[i] = _take_in_one(session, facts[i], actor)
    return [states[i] for i in range(len(facts))]


def settle(session: Session, refund_id: int, *, actor: str) -> bool:
    """Bring the credit in line with the refund's state; see `claims.settle`. Posts at most once."""
    refund = refund_rows.lock(session, refund_id)
    if not claims.settle(session, refund, actor=actor):
        return False
    payment = session.get_one(Payment, refund.payment_id)
    if refund.state == "processed":
        _count(session, payment, failed=False)  # it may have been heard of before the payment
    return True


def _take_in_one(session: Session, fact: RefundFacts, actor: str) -> str:
    payment = locks.lock_or_add_payment(session, fact.gateway, fact.payment_id, now=clock.now())
    refund = _match(session, fact)
    if refund is None:
        if _may_be_ours(session, payment, fact):
            return "waits"
        refund = _add(session, payment, fact, actor)
    elif refund.gateway_refund_id is None:
        refund.gateway_refund_id = fact.refund_id
        if refund.state == "failed":  # we were refused, and yet the gateway has it
            refund_rows.move(session, refund, "submitted")
    before = refund.state
    _advance(session, refund, fact)
    if refund.state == "processed" or before == "processed":
        _count(session, payment, failed=refund.state == "failed")
    session.flush()
    return refund.state


def _match(session: Session, fact: RefundFacts) -> Refund | None:
    by_id = Refund.gateway_refund_id == fact.refund_id
    query = select(Refund).where(Refund.gateway == fact.gateway).with_for_update()
    if fact.receipt:
        # Another refund under our receipt is another: the gateway forgot the key, and paid twice.
        ours = (Refund.receipt == fact.receipt) & Refund.gateway_refund_id.is_(None)
        query = query.where(or_(by_id, ours))
    else:
        query = query.where(by_id)
    return session.scalars(query.execution_options(populate_existing=True)).first()


def _may_be_ours(session: Session, payment: Payment, fact: RefundFacts) -> bool:
    """Tell whether a fact without our receipt may be about a refund that has no id yet."""
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
    refund_rows.record(session, refund, payment, None)
    return refund


_TELLING = ("captured", "partially_refunded", "refunded", "quarantined", "unmatched")
"""States of a payment that tell how much of it is back."""
_NEXT = {
    "submitted": {"requested", "unknown"},
    "processed": {"requested", "unknown", "submitted"},
    # A bank may send money back that was under way, also after it was called processed.
    "failed": {"requested", "unknown", "submitted", "processed"},
}
"""What is seen -> the states that it leads on from."""


def _advance(session: Session, refund: Refund, fact: RefundFacts) -> None:
    if refund.state in _NEXT[fact.seen]:
        refund_rows.move(session, refund, fact.seen)
        if fact.seen != "submitted":
            refund.next_ask_at = None


def recount(session: Session, payment_id: int) -> None:
    """Let a credited payment tell what of it is back, once the gateway has listed its refunds.

    Old news of a refund that has failed since may have said more.
    """
    _count(session, claims.lock_payment(session, payment_id), failed=True)


def _count(session: Session, payment: Payment, *, failed: bool) -> None:
    """Let the payment tell what of it is back; what failed after all is not."""
    session.flush()
    back = session.scalar(
        select(func.sum(Refund.amount_paise)).where(
            Refund.payment_id == payment.id, Refund.state == "processed"
        )
    )
    told = min(int(back or 0), payment.amount_paise)
    if payment.state not in _TELLING or (told <= payment.refunded_paise and not failed):
        return
    payment.refunded_paise, payment.updated_at = told, clock.now()
    if told == payment.amount_paise:
        payment.state, payment.reason = "refunded", None
    elif payment.credited_at is not None:
        payment.state = "partially_refunded" if told else "captured"
    elif payment.state == "refunded":  # nobody's credit, and still our money: let it be seen
        payment.state, payment.reason = "quarantined", "refund_failed"

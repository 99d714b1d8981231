"""Refunds: money on its way back, and the credit that goes with it.

States: `requested` (the row is there, the gateway is being asked), `unknown` (its answer was lost),
`submitted` (under way), `processed`, `failed`. What we ask for is recorded, and its credit
reserved, before the gateway hears of it. What the gateway tells of (ours, the dashboard's, its own)
comes in by `take_in`; `billing/claims.py` takes the credit, in transactions of its own.

Locks: the payment, then the refund, then the account.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from sqlalchemy import Row, func, or_, select, text
from sqlalchemy.orm import Session

import clock
from billing import audit, catalog, claims, payment_reading, payment_rows
from billing.errors import (
    CannotRefund,
    IdempotencyConflict,
    InvalidReason,
    UnknownPayment,
    UnknownRefund,
)
from billing.refund_facts import RefundFacts
from billing.text import DESCRIPTION_MAX_LENGTH, problem_with
from db import outbox
from db.models import Account, Chargeback, Payment, Refund
from db.outbox import NewNotice

OPEN = ("requested", "submitted", "unknown")
UNCONFIRMED = ("requested", "unknown")
"""States in which the gateway may or may not know the refund, and we not its id."""
REFUNDABLE = ("captured", "partially_refunded", "quarantined", "unmatched")
ASK_AFTER = timedelta(minutes=2)
LONGEST_INTERVAL = timedelta(days=1)
_ERROR_MAX_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Preview:
    """What a refund would do."""

    payment_id: str
    account: str | None
    amount_paise: int
    refundable_paise: int
    """What can still be refunded, this included."""
    credits: int
    bonus_credits: int
    unspent: int
    """What the account has of it now."""
    debt: int
    """What it would owe."""
    let_go: int
    """What is spent and, by the catalog, not taken."""


def receipt_of(request_key: str) -> str:
    """Return the receipt of the refund that one request makes: 36 characters."""
    return f"ref_{sha256(request_key.encode()).hexdigest()[:32]}"


def preview(session: Session, payment_id: str, amount_paise: int | None) -> Preview:
    """Return what a refund of `amount_paise` (None: all that is left) would do, changing nothing.

    Raises `UnknownPayment` or `CannotRefund`.
    """
    payment = _find(session, payment_id)
    left = refundable(session, payment)
    amount = _checked(payment, amount_paise, left)
    share = claims.share_of(payment, amount, claims.others_than(session, payment, None))
    account = session.get(Account, payment.account_id) if payment.credited_at else None
    unspent = max(0, min(share.total, account.balance - account.held)) if account else 0
    short = share.total - unspent
    caps = catalog.get().refunds.when_spent == "cap"
    return Preview(
        payment_id=payment_id,
        account=account.ref if account else None,
        amount_paise=amount,
        refundable_paise=left,
        credits=share.credits if not caps else min(share.credits, unspent),
        bonus_credits=share.bonus_credits
        if not caps
        else min(share.bonus_credits, unspent - min(share.credits, unspent)),
        unspent=unspent,
        debt=0 if caps else short,
        let_go=short if caps else 0,
    )


def request(
    session: Session,
    *,
    payment_id: str,
    amount_paise: int | None,
    reason: str,
    actor: str,
    request_key: str,
) -> tuple[Refund, bool]:
    """Record a refund of a payment (the gateway's id), reserve its credit, and tell if it is new.

    `amount_paise` None: all that is left. The same key with the same content returns the first.
    Raises `UnknownPayment`, `CannotRefund`, `InvalidReason` or `IdempotencyConflict`. Posts.
    """
    problem = problem_with(reason, max_length=DESCRIPTION_MAX_LENGTH)
    if problem:
        raise InvalidReason(problem)
    payment = claims.lock_payment(session, _find(session, payment_id).id)
    before = session.scalars(select(Refund).where(Refund.request_key == request_key)).one_or_none()
    if before is not None:
        _require_same(before, payment, amount_paise, reason)
        return before, False
    _refuse_disputed(session, payment)
    amount = _checked(payment, amount_paise, refundable(session, payment))
    now = clock.now()
    refund = Refund(
        payment_id=payment.id, gateway=payment.gateway, request_key=request_key,
        receipt=receipt_of(request_key), amount_paise=amount, state="requested", reason=reason,
        requested_by=actor, created_at=now, updated_at=now, next_ask_at=now + ASK_AFTER,
        position="none", credits=0, bonus_credits=0, debt=0, takes=0, asks=0,
    )  # fmt: skip
    session.add(refund)
    session.flush()
    _record(session, refund, payment, None)
    if payment.credited_at is None:
        refund.settled_at = now  # it brought nothing: nothing is taken
        session.flush()
    else:
        claims.settle(session, refund, actor=actor)
    return refund, True


def refundable(session: Session, payment: Payment) -> int:
    """Return what of a payment can still be refunded, in paise; its row is locked to rely on it."""
    ours = session.scalar(
        select(func.coalesce(func.sum(Refund.amount_paise), 0)).where(
            Refund.payment_id == payment.id, Refund.state.in_([*OPEN, "processed"])
        )
    )
    pending = session.scalar(
        select(func.coalesce(func.sum(Refund.amount_paise), 0)).where(
            Refund.payment_id == payment.id, Refund.state.in_(OPEN)
        )
    )
    lost = session.scalar(
        select(func.coalesce(func.sum(Chargeback.amount_paise), 0)).where(
            Chargeback.payment_id == payment.id, Chargeback.state == "lost"
        )
    )
    # The gateway may have told the payment's total before it told of the refund.
    gone = max(int(ours or 0), payment.refunded_paise + int(pending or 0))
    return max(0, payment.amount_paise - gone - int(lost or 0))


def unanswered(session: Session, refund_id: int, error: Exception) -> None:
    """Take note that nobody knows whether the gateway took the refund: the sweep will look."""
    refund = lock(session, refund_id)
    if refund.state == "requested":
        move(session, refund, "unknown")
    refund.last_error = _told(error)


def refused(session: Session, refund_id: int, error: Exception) -> None:
    """Take note that the gateway will not refund; the credit is free again at its settlement."""
    refund = lock(session, refund_id)
    if refund.state in UNCONFIRMED:
        move(session, refund, "failed")
        refund.next_ask_at = None
    refund.last_error = _told(error)


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
    refund = lock(session, refund_id)
    if not claims.settle(session, refund, actor=actor):
        return False
    payment = session.get_one(Payment, refund.payment_id)
    if refund.state == "processed":
        _count(session, payment, failed=False)  # it may have been heard of before the payment
    return True


def _take_in_one(session: Session, fact: RefundFacts, actor: str) -> str:
    payment = payment_rows.lock_or_make(session, fact.gateway, fact.payment_id, now=clock.now())
    refund = _match(session, fact)
    if refund is None:
        if _may_be_ours(session, payment, fact):
            return "waits"
        refund = _add(session, payment, fact, actor)
    elif refund.gateway_refund_id is None:
        refund.gateway_refund_id = fact.refund_id
    before = refund.state
    _advance(session, refund, fact)
    if refund.state == "processed" or before == "processed":
        _count(session, payment, failed=refund.state == "failed")
    session.flush()
    return refund.state


def _match(session: Session, fact: RefundFacts) -> Refund | None:
    by_id = Refund.gateway_refund_id == fact.refund_id
    query = select(Refund).where(Refund.gateway == fact.gateway).with_for_update()
    query = query.where(or_(by_id, Refund.receipt == fact.receipt) if fact.receipt else by_id)
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
    _record(session, refund, payment, None)
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
        move(session, refund, fact.seen)
        if fact.seen != "submitted":
            refund.next_ask_at = None


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


def move(session: Session, refund: Refund, state: str) -> None:
    """Take a locked refund to another state; its credit is to be settled again."""
    before, refund.state = refund.state, state
    refund.updated_at = clock.now()
    payment = session.get_one(Payment, refund.payment_id)
    if claims.wanted_by(before) != claims.wanted_by(state):
        refund.settled_at = None
    _record(session, refund, payment, before)


def unsettled(session: Session, *, limit: int) -> Sequence[int]:
    """Return the ids of refunds whose credit can be brought in line with their state."""
    return claims.unsettled(session, Refund, limit=limit)


_UNEXPLAINED = text("""
SELECT p.id, p.gateway_payment_id, p.refunded_paise FROM billing_payments p
 WHERE p.gateway = :gateway AND p.credited_at IS NOT NULL
   AND p.refunded_paise > p.refunds_asked_paise
   AND p.refunded_paise > (SELECT coalesce(sum(r.amount_paise), 0) FROM billing_refunds r
                            WHERE r.payment_id = p.id AND r.state = 'processed')
 ORDER BY p.id LIMIT :limit
""")


def unexplained(session: Session, *, gateway: str, limit: int) -> list[tuple[int, str, int]]:
    """Return credited payments of which more is refunded than our refunds tell.

    (id, the gateway's id, refunded paise); to be asked for, taken in, and `explained`.
    """
    rows = session.execute(_UNEXPLAINED, {"gateway": gateway, "limit": limit})
    return [(row[0], row[1], row[2]) for row in rows]


def explained(session: Session, payment_id: int, refunded_paise: int) -> None:
    """Take note that the gateway was asked for the refunds of a payment."""
    payment = claims.lock_payment(session, payment_id)
    payment.refunds_asked_paise = max(payment.refunds_asked_paise, refunded_paise)


def lock(session: Session, refund_id: int) -> Refund:
    """Return the refund as it is now, locked with its payment to the end of the transaction."""
    payment_id = session.scalars(select(Refund.payment_id).where(Refund.id == refund_id)).one()
    claims.lock_payment(session, payment_id)
    return session.get_one(Refund, refund_id, with_for_update=True, populate_existing=True)


def lease_due(session: Session, *, gateway: str, limit: int) -> Sequence[Refund]:
    """Return refunds to ask the gateway about now; each comes again, in growing intervals."""
    now = clock.now()
    due = session.scalars(
        select(Refund)
        .where(Refund.next_ask_at <= now, Refund.gateway == gateway)
        .order_by(Refund.next_ask_at, Refund.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for refund in due:
        refund.next_ask_at = now + min(ASK_AFTER * (1 << min(refund.asks, 20)), LONGEST_INTERVAL)
        refund.asks += 1
    return due


def find(session: Session, refund_id: int) -> tuple[Refund, Payment]:
    """Return a refund and its payment; raises `UnknownRefund`."""
    refund = session.get(Refund, refund_id) if refund_id < 2**63 else None
    if refund is None:
        raise UnknownRefund(refund_id)
    return refund, session.get_one(Payment, refund.payment_id)


def newest(session: Session, *, state: str | None, limit: int) -> Sequence[Row[Refund, Payment]]:
    """Return the newest refunds with their payments, of one state where given."""
    query = (
        select(Refund, Payment)
        .join(Payment, Payment.id == Refund.payment_id)
        .order_by(Refund.id.desc())
        .limit(limit)
    )
    if state is not None:
        query = query.where(Refund.state == state)
    return session.execute(query).all()


def _find(session: Session, payment_id: str) -> Payment:
    found = payment_reading.find(session, payment_id)
    if found is None:
        raise UnknownPayment(payment_id)
    return found


def _checked(payment: Payment, amount_paise: int | None, left: int) -> int:
    known = payment.gateway_payment_id
    if payment.state not in REFUNDABLE or not left:
        raise CannotRefund(known, f"is {payment.state} and has nothing left to refund")
    amount = left if amount_paise is None else amount_paise
    if type(amount) is not int or not 1 <= amount <= left:
        raise CannotRefund(
            known, f"has {left} paise left to refund, not {amount}", refundable_paise=left
        )
    return amount


def _refuse_disputed(session: Session, payment: Payment) -> None:
    disputed = session.scalars(
        select(Chargeback.gateway_dispute_id).where(
            Chargeback.payment_id == payment.id,
            Chargeback.moves_money,
            Chargeback.state.in_(["open", "under_review", "action_required"]),
        )
    ).first()
    if disputed:
        raise CannotRefund(
            payment.gateway_payment_id,
            f"is charged back ({disputed}): refunded as well, it would be paid back twice",
        )


def _require_same(before: Refund, payment: Payment, amount_paise: int | None, reason: str) -> None:
    asked: dict[str, tuple[object, object]] = {
        "payment_id": (before.payment_id, payment.id), "reason": (before.reason, reason),
    }  # fmt: skip
    if amount_paise is not None:
        asked["amount_paise"] = (before.amount_paise, amount_paise)
    differences = {name: pair for name, pair in asked.items() if pair[0] != pair[1]}
    if differences:
        raise IdempotencyConflict("this refund's key", differences)


def _record(session: Session, refund: Refund, payment: Payment, before: str | None) -> None:
    after = {
        "state": refund.state,
        "payment": payment.gateway_payment_id,
        "amount_paise": refund.amount_paise,
        "reason": refund.reason,
        "gateway_refund_id": refund.gateway_refund_id,
    }
    audit.record(
        session, f"refund.{refund.state}", claims.subject(refund),
        before=None if before is None else {"state": before}, after=after,
    )  # fmt: skip
    told = NewNotice(
        f"refund.{refund.state}", claims.subject(refund), payment.account_id,
        {"refund_id": refund.id, **after},
    )  # fmt: skip
    outbox.write(session, [told], now=clock.now())


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_ERROR_MAX_LENGTH]

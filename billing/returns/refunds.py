"""Refunds: money on its way back, and the credit that goes with it.

States: `requested` (the row is there, the gateway is being asked), `unknown` (its answer was lost),
`submitted` (under way), `processed`, `failed`. A request is recorded, and its credit reserved,
before the gateway is asked. `billing/returns/refund_intake.py` records what the gateway reports;
`billing/payments/clawbacks.py` takes the credit.

Called by `tasks/` and the command. Locks: the payment, then the refund, then the account.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

import clock
from billing import accounts, payments
from billing.errors import IdempotencyConflict, InvalidReason
from billing.payments import UnknownPayment, clawbacks
from billing.returns import refund_lifecycle
from billing.returns.errors import CannotRefund, InvalidRefund, UnknownRefund
from billing.returns.refund_lifecycle import ASK_AFTER, OPEN, UNCONFIRMED
from billing.text import (
    DESCRIPTION_MAX_LENGTH,
    ID_MAX_LENGTH,
    KEY_MAX_LENGTH,
    problem_with,
    problem_with_identity,
)
from db.models import Account, Chargeback, Payment, Refund
from db.pages import Page, Wanted, read_page
from service.disclosure import shown_error

REFUNDABLE = ("captured", "partially_refunded", "quarantined", "unmatched")
_ERROR_MAX_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Preview:
    """What a refund would do."""

    payment_id: str
    account: str | None
    amount_paise: int
    refundable_paise: int
    """What can still be refunded, this refund included."""
    credits: int
    bonus_credits: int
    unspent: int
    """What the account has left of these credits."""
    debt: int
    """What the account would owe."""
    let_go: int
    """What is spent and, under the catalog's cap, not taken."""


def receipt_of(request_key: str) -> str:
    """Return the receipt of the refund that one request makes: 36 characters."""
    return f"ref_{sha256(request_key.encode()).hexdigest()[:32]}"


def preview(session: Session, payment_id: str, amount_paise: int | None) -> Preview:
    """Return what a refund of `amount_paise` (None: all that is left) would do, changing nothing.

    Raises `UnknownPayment` or `CannotRefund`.
    """
    payment = _get_payment(session, payment_id)
    _refuse_disputed(session, payment)
    left = refundable_paise(session, payment)
    amount = _amount_to_refund(payment, amount_paise, left)
    account = session.get(Account, payment.account_id) if payment.credited_at else None
    clawback = clawbacks.preview(session, payment, amount)
    return Preview(
        payment_id=payment_id,
        account=account.ref if account else None,
        amount_paise=amount,
        refundable_paise=left,
        credits=clawback.credits.paid,
        bonus_credits=clawback.credits.bonus,
        unspent=clawback.unspent,
        debt=clawback.credits.total - clawback.unspent,
        let_go=clawback.owed.total - clawback.credits.total,
    )


def request(
    session: Session,
    *,
    payment_id: str,
    amount_paise: int | None,
    reason: str,
    actor: str,
    request_key: str,
    reserve: bool = True,
) -> tuple[Refund, bool]:
    """Record a refund of a payment (the gateway's id) and reserve its credit.

    Returns the refund and whether it is new: the same key with the same content returns the first.
    `amount_paise` None: all that is left. Posts, unless `reserve` is False: then
    `refund_intake.settle` reserves, and no gateway is asked before. Raises `UnknownPayment`,
    `CannotRefund`, `InvalidReason`, `InvalidRefund` or `IdempotencyConflict`.
    """
    if wrong := problem_with(actor, max_length=KEY_MAX_LENGTH):
        raise InvalidRefund("actor", wrong)
    if wrong := problem_with_identity(request_key, max_length=KEY_MAX_LENGTH):
        raise InvalidRefund("request_key", wrong)
    problem = problem_with(reason, max_length=DESCRIPTION_MAX_LENGTH)
    if problem:
        raise InvalidReason(problem)
    payment = clawbacks.lock_payment(session, _get_payment(session, payment_id).id)
    before = session.scalars(select(Refund).where(Refund.request_key == request_key)).one_or_none()
    if before is not None:
        _require_same(before, payment, amount_paise, reason)
        return before, False
    _refuse_disputed(session, payment)
    amount = _amount_to_refund(payment, amount_paise, refundable_paise(session, payment))
    now = clock.now()
    refund = Refund(
        payment_id=payment.id, gateway=payment.gateway, request_key=request_key,
        receipt=receipt_of(request_key), amount_paise=amount, state="requested", reason=reason,
        requested_by=actor, created_at=now, updated_at=now, next_ask_at=now + ASK_AFTER,
        position="none", credits=0, bonus_credits=0, debt=0, takes=0, asks=0,
    )  # fmt: skip
    session.add(refund)
    session.flush()
    refund_lifecycle.record_change(session, refund, payment, None)
    if payment.credited_at is None:
        refund.settled_at = now  # the payment brought no credit: none is taken
        session.flush()
    elif reserve:
        clawbacks.settle(session, refund, actor=actor)
    else:
        refund.next_ask_at = now
    return refund, True


def refundable_paise(session: Session, payment: Payment) -> int:
    """Return the paise of a payment that can still be refunded; lock its row to rely on it."""
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
    # The gateway may have reported the payment's total before the refund.
    gone = max(int(ours or 0), payment.refunded_paise + int(pending or 0))
    return max(0, payment.amount_paise - gone - int(lost or 0))


def record_no_answer(session: Session, refund_id: int, error: Exception) -> None:
    """Record that nobody knows whether the gateway has the refund: the sweep finds out."""
    refund = refund_lifecycle.lock(session, refund_id)
    if refund.state == "requested":
        refund_lifecycle.move(session, refund, "unknown")
    refund.last_error = _error_text(error)


def record_refusal(session: Session, refund_id: int, error: Exception) -> None:
    """Record that the gateway refuses the refund; the next settlement frees its credit."""
    refund = refund_lifecycle.lock(session, refund_id)
    if refund.state in UNCONFIRMED:
        refund_lifecycle.move(session, refund, "failed")
        refund.next_ask_at = None
    refund.last_error = _error_text(error)


def record_failure(session: Session, refund_id: int, error: Exception) -> None:
    """Record why the gateway could not say how a refund stands; it is asked again later."""
    refund_lifecycle.lock(session, refund_id).last_error = _error_text(error)


def get(session: Session, refund_id: int) -> tuple[Refund, Payment]:
    """Return a refund and its payment; raises `UnknownRefund`."""
    refund = session.get(Refund, refund_id) if refund_id < 2**63 else None
    if refund is None:
        raise UnknownRefund(refund_id)
    return refund, session.get_one(Payment, refund.payment_id)


def find_in_reach(
    session: Session, refund_id: int, *, product: str | None, account_id: int | None
) -> tuple[Refund, Payment, str | None] | None:
    """Return a refund, its payment and the reference of their account; or None.

    None too if the payment is out of reach, as in `payments.queries.find_in_reach`.
    """
    row = session.execute(
        select(Refund, Payment, Account.ref)
        .join(Payment, Payment.id == Refund.payment_id)
        .outerjoin(Account, Account.id == Payment.account_id)
        .where(Refund.id == refund_id, accounts.in_reach(product, account_id))
    ).one_or_none()
    return (row[0], row[1], row[2]) if row is not None else None


def of_payment(session: Session, payment: Payment) -> Sequence[Refund]:
    """Return the refunds of a payment, oldest first."""
    return session.scalars(
        select(Refund).where(Refund.payment_id == payment.id).order_by(Refund.id)
    ).all()


def unanswered() -> ColumnElement[bool]:
    """Return the condition on refunds that the gateway could not settle so far."""
    return and_(Refund.next_ask_at.is_not(None), Refund.last_error.is_not(None))


def newest(
    session: Session, wanted: Wanted, *, state: str | None = None, needs_a_person: bool = False
) -> Page[tuple[Refund, Payment]]:
    """Return the newest refunds with their payments, only those in `state` if it is given.

    `needs_a_person`: only those whose credit could not be settled, or about which the gateway is
    still asked and did not answer the last time.
    """
    query = select(Refund, Payment).join(Payment, Payment.id == Refund.payment_id)
    if state is not None:
        query = query.where(Refund.state == state)
    if needs_a_person:
        query = query.where(or_(clawbacks.needs_a_person(Refund), unanswered()))
    return read_page(session, query, wanted, by=[Refund.id], time=Refund.created_at)


def _get_payment(session: Session, payment_id: str) -> Payment:
    storable = problem_with(payment_id, max_length=ID_MAX_LENGTH) is None
    found = payments.queries.find(session, payment_id) if storable else None
    if found is None:
        raise UnknownPayment(payment_id)
    return found


def _amount_to_refund(payment: Payment, amount_paise: int | None, left: int) -> int:
    known = payment.gateway_payment_id
    if payment.state not in REFUNDABLE or not left:
        raise CannotRefund(known, f"is {payment.state} and has nothing left to refund")
    amount = left if amount_paise is None else amount_paise
    if type(amount) is not int or not 1 <= amount <= left:
        raise CannotRefund(
            known,
            f"has {left} paise left to refund: cannot refund {amount}",
            refundable_paise=left,
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
            f"is charged back ({disputed}): a refund would pay it back twice",
        )


def _require_same(before: Refund, payment: Payment, amount_paise: int | None, reason: str) -> None:
    asked: dict[str, tuple[object, object]] = {"payment_id": (before.payment_id, payment.id)}
    if before.reason != reason:  # it may be about a person: say that it differs, not how
        asked["reason"] = ("one text", "another")
    if amount_paise is not None:
        asked["amount_paise"] = (before.amount_paise, amount_paise)
    differences = {name: pair for name, pair in asked.items() if pair[0] != pair[1]}
    if differences:
        raise IdempotencyConflict("this refund's key", differences)


def _error_text(error: Exception) -> str:
    return shown_error(error)[:_ERROR_MAX_LENGTH]

"""Clawbacks: the credit that a payment brought is taken back with its money, to the last credit.

A refund and a chargeback are clawbacks (`Clawback` of `db/models/returns.py`). Their state says
where the money is; `settle` brings the credit in line with it:

    money under way   -> reserved   what is unspent is held, without an end
    money gone        -> taken      from the payment's own lots, then by burn order, then as debt
    money stayed      -> none       what was held is free, what was taken is back in its lots

`billing/payments/clawback_decision.py` decides how much that is, `clawback_credit.py` moves it.
Called by `billing/returns`, and by the crediting of payments. Locks: the payment, then its account
(the ledger's). Each settlement is a transaction of its own.
"""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import ColumnElement, and_, or_, select, text, update
from sqlalchemy.orm import Session

import clock
from billing import audit, catalog
from billing.ledger import availability
from billing.payments import clawback_credit
from billing.payments.clawback_credit import clawback_subject
from billing.payments.clawback_decision import Case, Credits, Position, Settlement, decide
from billing.plans import refunded_plans
from db.models import Chargeback, Clawback, Payment, Refund
from service.disclosure import shown_error

KINDS: tuple[type[Clawback], ...] = (Refund, Chargeback)

RESERVED_STATES = frozenset(
    {"requested", "submitted", "unknown", "open", "under_review", "action_required"}
)
"""States of clawbacks whose money is under way."""
_ERROR_MAX_LENGTH = 500
TAKEN_STATES = frozenset({"processed", "lost"})


def position_for(state: str) -> Position:
    """Return where the credit belongs in a state of its clawback."""
    if state in TAKEN_STATES:
        return "taken"
    return "reserved" if state in RESERVED_STATES else "none"


def preview(session: Session, payment: Payment, amount_paise: int) -> Settlement:
    """Return what a new clawback on `amount_paise` of a payment would take now; locks nothing."""
    return decide(_load(session, payment, None, "taken", amount_paise))


def settle(session: Session, clawback: Clawback, *, actor: str) -> bool:
    """Bring the credit in line with the clawback's state; return whether that is done.

    It is not while its payment is not credited and may still be. Posts at most once.
    """
    payment = lock_payment(session, clawback.payment_id)
    session.refresh(clawback, with_for_update=True)
    if clawback.settled_at is not None:
        return True
    if payment.credited_at is None and payment.state != "refunded":
        return False
    before = clawback.position
    wanted = _wanted(clawback) if payment.credited_at is not None else "none"
    if not wanted == before == "none":
        _bring_in_line(session, clawback, payment, wanted, actor)
    clawback.settled_at = clock.now()
    clawback.settlement_error = clawback.settlement_failed_at = None
    _record_change(session, clawback, payment, before)
    refunded_plans.update_review(session, payment, clawback, before)
    return True


def record_failure(clawback: Clawback, error: Exception) -> None:
    """Record why a locked clawback could not be settled, unless it is settled by now.

    Called in a transaction of its own: that of the settlement is rolled back.
    """
    if clawback.settled_at is not None:
        return
    clawback.settlement_error = shown_error(error)[:_ERROR_MAX_LENGTH]
    clawback.settlement_failed_at = clawback.settlement_failed_at or clock.now()


def needs_a_person(kind: type[Refund] | type[Chargeback]) -> ColumnElement[bool]:
    """Return the condition on a kind of clawback whose credit could not be settled.

    The index of what is unsettled holds all of them.
    """
    return and_(kind.settled_at.is_(None), kind.settlement_failed_at.is_not(None))


def reopen(session: Session, payment_ids: Sequence[int]) -> None:
    """Have the clawbacks on payments settled anew: there is credit now that they can take."""
    for kind in KINDS:
        session.execute(
            update(kind)
            .where(kind.payment_id.in_(payment_ids), kind.settled_at.is_not(None))
            .values(settled_at=None)
        )


def unsettled(
    session: Session, kind: type[Clawback], *, limit: int, after: int = 0
) -> Sequence[int]:
    """Return the ids, above `after`, of clawbacks that `settle` can bring in line."""
    return session.scalars(
        select(kind.id)
        .join(Payment, Payment.id == kind.payment_id)
        .where(kind.settled_at.is_(None), kind.id > after)
        .where(or_(Payment.credited_at.is_not(None), Payment.state == "refunded"))
        .order_by(kind.id)
        .limit(limit)
    ).all()


def request_ids_of(
    session: Session, kind: type[Clawback], ids: Sequence[int]
) -> dict[int, str | None]:
    """Return the id of the request that made each clawback, by the clawback's id."""
    rows = session.execute(select(kind.id, kind.request_id).where(kind.id.in_(ids)))
    return {id_: request_id for id_, request_id in rows}  # noqa: C416 - rows are not pairs to dict()


def lock_payment(session: Session, payment_id: int) -> Payment:
    """Return a payment as it is now, locked to the end of the transaction."""
    return session.scalars(
        select(Payment)
        .where(Payment.id == payment_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def _wanted(clawback: Clawback) -> Position:
    if isinstance(clawback, Chargeback) and not clawback.moves_money:
        return "none"
    return position_for(clawback.state)


_LOCK_ACCOUNT = text("SELECT ref FROM accounts WHERE id = :id FOR NO KEY UPDATE")


def _bring_in_line(
    session: Session, clawback: Clawback, payment: Payment, wanted: Position, actor: str
) -> None:
    account = session.scalars(_LOCK_ACCOUNT, {"id": payment.account_id}).one()
    if wanted == "reserved":
        # Its share may have grown: it is reserved anew.
        clawback_credit.end_hold(session, clawback, actor)
    case = _load(session, payment, clawback, wanted, clawback.amount_paise)
    settlement = decide(case)
    if settlement.reopens_others:
        reopen(session, [payment.id])
    if settlement.position == "reserved":
        held = clawback_credit.hold(session, clawback, payment, settlement.unspent, account, actor)
        if held < settlement.unspent:  # credit has expired in this very moment
            settlement = decide(replace(case, unspent=held))
    elif settlement.position == "taken":
        clawback_credit.take(session, clawback, payment, settlement.takes, account, actor)
    elif clawback.position == "reserved":
        clawback_credit.end_hold(session, clawback, actor)
    else:
        clawback_credit.give_back(session, clawback, payment, account, actor)
    clawback.position = settlement.position
    clawback.credits, clawback.bonus_credits = settlement.credits.paid, settlement.credits.bonus


def _load(
    session: Session,
    payment: Payment,
    clawback: Clawback | None,
    wanted: Position,
    amount_paise: int,
) -> Case:
    others = [
        row
        for kind in KINDS
        for row in session.execute(
            select(kind.amount_paise, kind.credits, kind.bonus_credits).where(
                kind.payment_id == payment.id,
                kind.position != "none",
                # Those that are still to be settled see to their share then.
                kind.settled_at.is_not(None),
                kind.id != (clawback.id if isinstance(clawback, kind) else 0),
            )
        )
    ]
    account_id = payment.account_id if payment.credited_at is not None else None
    return Case(
        wanted=wanted,
        position=clawback.position if clawback else "none",
        own=Credits(clawback.credits, clawback.bonus_credits) if clawback else Credits(),
        amount_paise=amount_paise,
        payment_paise=payment.amount_paise,
        brought=Credits(payment.credits, payment.bonus_credits),
        others_paise=sum(paise for paise, _, _ in others),
        others=Credits(sum(paid for _, paid, _ in others), sum(bonus for _, _, bonus in others)),
        unspent=availability.unspent(session, account_id) if account_id is not None else 0,
        caps=catalog.get().refunds.when_spent == "cap",
    )


def _record_change(session: Session, clawback: Clawback, payment: Payment, before: str) -> None:
    session.flush()
    if clawback.position == before:
        return
    name = clawback_subject(clawback)
    audit.record(
        session,
        f"{name.partition(':')[0]}.{clawback.position}",
        name,
        before={"credit": before},
        after={
            "credit": clawback.position,
            "payment": payment.gateway_payment_id,
            "state": clawback.state,
            "credits": clawback.credits,
            "bonus_credits": clawback.bonus_credits,
            "debt": clawback.debt,
        },
    )

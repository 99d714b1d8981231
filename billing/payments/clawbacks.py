"""Clawbacks: the credit that a payment brought is taken back with its money, to the last credit.

A refund and a chargeback are clawbacks (`Clawback` of `db/models/returns.py`). Their state says
where the money is; `settle` brings the credit in line with it:

    money under way   -> reserved   what is unspent is held, without an end
    money gone        -> taken      from the payment's own lots, then by burn order, then as debt
    money stayed      -> none       what was held is free, what was taken is back in its lots

How much that is, `billing/payments/clawback_decision.py` decides. Called by `billing/returns`, and
by the crediting of payments. Locks: the payment, then its account (the ledger's). Each settlement
is a transaction of its own.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

from sqlalchemy import or_, select, text, update
from sqlalchemy.orm import Session

import clock
from billing import audit, catalog
from billing.credit import HoldFinished, holds
from billing.ledger import Kind, Posting, availability, post, reversible
from billing.payments.clawback_decision import Case, Credits, Position, Settlement, decide
from billing.plans import refunded_plans
from db.bulk import int_array
from db.models import Chargeback, Clawback, Payment, Refund

KINDS: tuple[type[Clawback], ...] = (Refund, Chargeback)

RESERVED_STATES = frozenset(
    {"requested", "submitted", "unknown", "open", "under_review", "action_required"}
)
"""States of clawbacks whose money is under way."""
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
    _record_change(session, clawback, payment, before)
    refunded_plans.watch(session, payment, clawback, before)
    return True


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


def lock_payment(session: Session, payment_id: int) -> Payment:
    """Return a payment as it is now, locked to the end of the transaction."""
    return session.scalars(
        select(Payment)
        .where(Payment.id == payment_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def subject(clawback: Clawback) -> str:
    """Return the name of a clawback in the audit log and in ledger keys."""
    return f"{'refund' if isinstance(clawback, Refund) else 'chargeback'}:{clawback.id}"


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
        _end_hold(session, clawback, actor)  # its share may have grown: it is reserved anew
    case = _load(session, payment, clawback, wanted, clawback.amount_paise)
    settlement = decide(case)
    if settlement.reopens_others:
        reopen(session, [payment.id])
    if settlement.position == "reserved":
        held = _hold(session, clawback, payment, settlement.unspent, account, actor)
        if held < settlement.unspent:  # credit has expired in this very moment
            settlement = decide(replace(case, unspent=held))
    elif settlement.position == "taken":
        _take(session, clawback, payment, settlement.takes, account, actor)
    elif clawback.position == "reserved":
        _end_hold(session, clawback, actor)
    else:
        _give_back(session, clawback, payment, account, actor)
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


def _hold(
    session: Session, clawback: Clawback, payment: Payment, amount: int, account: str, actor: str
) -> int:
    """Hold `amount` credits without an end, and return how many could be held."""
    if not amount:
        return 0
    hold = holds.reserve(
        session,
        account=account,
        at_most=amount,
        # A new key each time: the lock of the clawback's row sees to it that there is one hold.
        idempotency_key=f"{subject(clawback)}:{uuid4()}",
        actor=actor,
        kind=Kind.CLAWBACK,
        description=f"Payment {payment.gateway_payment_id} is being returned",
    )
    clawback.hold_id = hold.id if hold else None
    return hold.amount if hold else 0


def _take(
    session: Session, clawback: Clawback, payment: Payment, takes: Credits, account: str, actor: str
) -> None:
    if not takes.total:
        _end_hold(session, clawback, actor)
        return
    released = _hand_over_hold(session, clawback, actor)
    clawback.takes += 1
    session.flush()
    postings = _postings(clawback, payment, takes, account, actor)
    postings[0] = replace(postings[0], releases=released)
    results = [result.applied_or_raise() for result in post(session, postings)]
    clawback.debt += _debt_of(session, [result.transaction_id for result in results])


def _postings(
    clawback: Clawback, payment: Payment, takes: Credits, account: str, actor: str
) -> list[Posting]:
    paid_key, bonus_key = _keys(clawback, clawback.takes)
    own = f"{payment.gateway}:{payment.gateway_payment_id}"
    paid_lot, bonus_lot = f"{own}:top_up", f"{own}:bonus"
    parts = (
        (Kind.CLAWBACK, takes.paid, paid_key, (paid_lot, bonus_lot)),
        (Kind.BONUS_CLAWBACK, takes.bonus, bonus_key, (bonus_lot, paid_lot)),
    )
    return [
        Posting(
            account=account,
            amount=-amount,
            kind=kind,
            idempotency_key=key,
            actor=actor,
            description=f"Payment {payment.gateway_payment_id} was returned",
            payment_id=payment.gateway_payment_id,
            takes_first=lots,
        )
        for kind, amount, key, lots in parts
        if amount
    ]


_DEBT = text("""
SELECT coalesce(sum(amount), 0)::bigint FROM credit_debts
 WHERE charge_id = ANY(CAST(:ids AS bigint[]))
""")


def _debt_of(session: Session, transaction_ids: list[int]) -> int:
    return session.scalar(_DEBT, {"ids": int_array(transaction_ids)}) or 0


_RETURNS = (Kind.CLAWBACK_RETURN, Kind.BONUS_CLAWBACK_RETURN)


def _give_back(
    session: Session, clawback: Clawback, payment: Payment, account: str, actor: str
) -> None:
    """Give back what was taken, to the lots that it came from; its debt is forgiven first."""
    postings = [
        Posting(
            account=account,
            amount=reversible(session, key),
            kind=kind,
            idempotency_key=f"{key}:return",
            actor=actor,
            description=f"Payment {payment.gateway_payment_id} stays",
            payment_id=payment.gateway_payment_id,
            reverses=key,
        )
        for take in range(1, clawback.takes + 1)  # of what was given back before, nothing is left
        for kind, key in zip(_RETURNS, _keys(clawback, take), strict=True)
    ]
    postings = [posting for posting in postings if posting.amount]
    clawback.debt = 0
    for result in post(session, postings) if postings else []:
        result.applied_or_raise()


def _keys(clawback: Clawback, take: int) -> tuple[str, str]:
    key = f"{subject(clawback)}:{take}"
    return f"{key}:clawback", f"{key}:bonus_clawback"


def _end_hold(session: Session, clawback: Clawback, actor: str) -> None:
    if clawback.hold_id is not None:
        with suppress(HoldFinished):  # an operator may have voided it by hand
            holds.void(
                session,
                hold_id=clawback.hold_id,
                idempotency_key=f"{subject(clawback)}:end",
                actor=actor,
            )
        clawback.hold_id = None


def _hand_over_hold(session: Session, clawback: Clawback, actor: str) -> int:
    """End the hold for the posting that takes the credit; return what that has to release."""
    if clawback.hold_id is None:
        return 0
    hold_id, clawback.hold_id = clawback.hold_id, None
    with suppress(HoldFinished):
        return holds.hand_over(
            session, hold_id=hold_id, idempotency_key=f"{subject(clawback)}:end", actor=actor
        )
    return 0


def _record_change(session: Session, clawback: Clawback, payment: Payment, before: str) -> None:
    session.flush()
    if clawback.position == before:
        return
    name = subject(clawback)
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

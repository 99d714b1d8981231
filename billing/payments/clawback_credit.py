"""The credit of a clawback: it is held while the money is under way, taken, or given back.

`billing/payments/clawbacks.py` decides which, and calls one of these functions with the clawback,
its payment and its account locked.
"""

from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

from billing.credit import HoldFinished, holds
from billing.ledger import Kind, Posting, post, reversible_credits
from billing.payments.clawback_decision import Credits
from db.bulk import int_array
from db.models import Clawback, Payment, Refund


def clawback_subject(clawback: Clawback) -> str:
    """Return the name of a clawback in the audit log and in ledger keys."""
    return f"{'refund' if isinstance(clawback, Refund) else 'chargeback'}:{clawback.id}"


def hold(
    session: Session, clawback: Clawback, payment: Payment, amount: int, account: str, actor: str
) -> int:
    """Hold `amount` credits without an end, and return how many could be held."""
    if not amount:
        return 0
    reserved = holds.reserve(
        session,
        account=account,
        at_most=amount,
        # A new key each time: the lock of the clawback's row sees to it that there is one hold.
        idempotency_key=f"{clawback_subject(clawback)}:{uuid4()}",
        actor=actor,
        kind=Kind.CLAWBACK,
        description=f"Payment {payment.gateway_payment_id} is being returned",
    )
    clawback.hold_id = reserved.id if reserved else None
    return reserved.amount if reserved else 0


def take(
    session: Session, clawback: Clawback, payment: Payment, takes: Credits, account: str, actor: str
) -> None:
    """Take `takes` and end the hold; what is spent already becomes debt."""
    if not takes.total:
        end_hold(session, clawback, actor)
        return
    released = _hand_over_hold(session, clawback, actor)
    clawback.takes += 1
    session.flush()
    postings = _postings(clawback, payment, takes, account, actor)
    postings[0] = replace(postings[0], releases=released)
    results = [result.applied_or_raise() for result in post(session, postings)]
    clawback.debt += _debt_of(session, [result.transaction_id for result in results])


_RETURNS = (Kind.CLAWBACK_RETURN, Kind.BONUS_CLAWBACK_RETURN)


def give_back(
    session: Session, clawback: Clawback, payment: Payment, account: str, actor: str
) -> None:
    """Give back what was taken, to the lots that it came from; its debt is forgiven first."""
    postings = [
        Posting(
            account=account,
            amount=reversible_credits(session, key),
            kind=kind,
            idempotency_key=f"{key}:return",
            actor=actor,
            description=f"Payment {payment.gateway_payment_id} stays",
            payment_id=payment.gateway_payment_id,
            reverses=key,
        )
        for number in range(1, clawback.takes + 1)  # what was given back before has nothing left
        for kind, key in zip(_RETURNS, _keys(clawback, number), strict=True)
    ]
    postings = [posting for posting in postings if posting.amount]
    clawback.debt = 0
    for result in post(session, postings) if postings else []:
        result.applied_or_raise()


def end_hold(session: Session, clawback: Clawback, actor: str) -> None:
    """Free what is held; does nothing if nothing is."""
    if clawback.hold_id is not None:
        with suppress(HoldFinished):  # an operator may have voided it by hand
            holds.void(
                session,
                hold_id=clawback.hold_id,
                idempotency_key=f"{clawback_subject(clawback)}:end",
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
            session,
            hold_id=hold_id,
            idempotency_key=f"{clawback_subject(clawback)}:end",
            actor=actor,
        )
    return 0


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


def _keys(clawback: Clawback, number: int) -> tuple[str, str]:
    """Return the ledger keys of one of its takes, for paid and for bonus credit."""
    key = f"{clawback_subject(clawback)}:{number}"
    return f"{key}:clawback", f"{key}:bonus_clawback"


_DEBT = text("""
SELECT coalesce(sum(amount), 0)::bigint FROM credit_debts
 WHERE charge_id = ANY(CAST(:ids AS bigint[]))
""")


def _debt_of(session: Session, transaction_ids: list[int]) -> int:
    return session.scalar(_DEBT, {"ids": int_array(transaction_ids)}) or 0

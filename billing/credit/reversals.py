"""Reversing a charge, all or part of it, into the lots that paid it.

Called by `billing/credit/corrections.py` and by the rules that return credit under keys of their
own.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
from billing import leads
from billing.ledger import (
    KIND_RULES,
    Kind,
    Posting,
    PostingResult,
    ReversalTooLarge,
    UnknownCharge,
    post,
    reversible_credits,
)
from db.models import Account, CreditTransaction


def reverse(
    session: Session,
    *,
    charge_key: str,
    amount: int | None,
    reason: str,
    actor: str,
    idempotency_key: str,
    dispute_id: str | None = None,
) -> PostingResult:
    """Give `amount` credits of a charge (None: what is left) back to the lots that paid it.

    What the charge still owes is forgiven first. Credit of an expired lot comes back in a new
    goodwill lot; what a write-off paid does not come back. If nothing is left of a lead's charge,
    the lead is refunded. Raises `InvalidPosting`, `UnknownCharge`, `ReversalTooLarge` or
    `IdempotencyConflict`.
    """
    charge = session.scalars(
        select(CreditTransaction).where(CreditTransaction.idempotency_key == charge_key)
    ).one_or_none()
    kind = KIND_RULES[Kind(charge.kind)].reversed_by if charge else None
    if charge is None or kind is None:
        raise UnknownCharge(charge_key)
    account = session.get_one(Account, charge.account_id)
    if amount is None:
        amount = _whole_amount(session, charge, idempotency_key)
    posting = Posting(
        account=account.ref,
        amount=amount,
        kind=kind,
        idempotency_key=idempotency_key,
        actor=actor,
        description=reason,
        lead_id=charge.lead_id,
        dispute_id=dispute_id,
        reverses=charge_key,
    )
    result = post(session, [posting])[0].applied_or_raise()
    if kind is Kind.LEAD_REFUND and charge.lead_id and not reversible_credits(session, charge_key):
        leads.end_lead(
            session,
            charge.lead_id,
            account=account.ref,
            before="charged",
            state="refunded",
            now=clock.now(),
        )
    return result


def _whole_amount(session: Session, charge: CreditTransaction, key: str) -> int:
    """Return the credits that are left of a charge; for a repeat, those that it gave back."""
    # Locked, so that nobody reverses a part of it before the post.
    session.execute(
        select(Account.id).where(Account.id == charge.account_id).with_for_update(key_share=True)
    )
    before = session.scalar(
        select(CreditTransaction.amount).where(
            CreditTransaction.reverses_id == charge.id, CreditTransaction.idempotency_key == key
        )
    )
    amount = before or reversible_credits(session, charge.idempotency_key)
    if not amount:
        raise ReversalTooLarge(charge.idempotency_key, asked=-charge.amount, left=0)
    return amount

"""Resolving a dispute: an operator approves or rejects it, or its clinic withdraws it.

Called by the command, a withdrawal by the API too. An approval gives the lead's charge back, wholly
or in part, to the very lots it came from (`billing/credit/reversals.py`).
"""

from sqlalchemy.orm import Session

import clock
from billing.credit import reversals
from billing.disputes import quality, validation
from billing.disputes.decisions import Resolution, approval
from billing.disputes.errors import InvalidDispute
from billing.disputes.locks import PendingDispute, lock_pending
from billing.disputes.notices import record_resolved
from billing.ledger import reversible_credits
from db.models import CreditTransaction, LeadDispute


def approve(
    session: Session, dispute_id: int, *, amount: int | None = None, notes: str, actor: str
) -> LeadDispute:
    """Give `amount` credits of the lead's charge back and end the dispute; return it.

    `amount` None: all that can still be given back, which makes the dispute approved; less makes it
    partially approved. Posts once. Raises `UnknownDispute`, `DisputeResolved`, `InvalidDispute`,
    `NothingToRefund`, or `ReversalTooLarge` for more than is left; then nothing is changed.
    """
    validation.check_resolution(notes=notes, actor=actor)
    if amount is not None and (type(amount) is not int or amount <= 0):
        raise InvalidDispute("amount", "must be a whole number of credits, at least 1")
    pending = lock_pending(session, dispute_id)
    dispute = pending.dispute
    charge_key = session.get_one(CreditTransaction, pending.lead.transaction_id).idempotency_key
    decided = approval(dispute, amount=amount, left=reversible_credits(session, charge_key))
    reversals.reverse(
        session,
        charge_key=charge_key,
        amount=decided.credits_refunded,
        reason=f"Dispute {dispute_id} of lead {dispute.lead_id}: {dispute.type}",
        actor=actor,
        idempotency_key=f"dispute:{dispute_id}:refund",
        dispute_id=str(dispute_id),
    )
    return _resolve(session, pending, decided, notes=notes, actor=actor)


def reject(session: Session, dispute_id: int, *, notes: str, actor: str) -> LeadDispute:
    """End the dispute without giving anything back; return it.

    Raises `UnknownDispute`, `DisputeResolved` or `InvalidDispute`.
    """
    validation.check_resolution(notes=notes, actor=actor)
    pending = lock_pending(session, dispute_id)
    return _resolve(session, pending, Resolution("rejected"), notes=notes, actor=actor)


def withdraw(
    session: Session, dispute_id: int, *, notes: str | None = None, actor: str
) -> LeadDispute:
    """Take the dispute back for its clinic; return it. The lead may be disputed again.

    Raises `UnknownDispute`, `DisputeResolved` or `InvalidDispute`.
    """
    validation.check_resolution(notes=notes, actor=actor)
    pending = lock_pending(session, dispute_id)
    return _resolve(session, pending, Resolution("withdrawn"), notes=notes, actor=actor)


def _resolve(
    session: Session,
    pending: PendingDispute,
    decided: Resolution,
    *,
    notes: str | None,
    actor: str,
) -> LeadDispute:
    dispute, now = pending.dispute, clock.now()
    dispute.state, dispute.credits_refunded = decided.state, decided.credits_refunded
    dispute.resolved_by, dispute.resolved_at, dispute.notes = actor, now, notes
    session.flush()
    record_resolved(session, dispute, account=pending.account.ref, now=now)
    quality.rescore(session, pending.account, source=pending.lead.source)
    return dispute

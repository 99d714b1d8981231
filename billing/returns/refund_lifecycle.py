"""The life of a refund's row: locked, moved from state to state, due to be asked about.

Called by `billing/returns/refunds.py` (what we request), `billing/returns/refund_intake.py` (what
gateways report) and the sweep. Locks the payment, then the refund.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import or_, select, text
from sqlalchemy.orm import Session

import clock
from billing import audit
from billing.payments import clawback_subject, clawbacks
from billing.topics import Topic
from db import outbox
from db.models import Payment, Refund
from db.outbox import NewNotice

OPEN = ("requested", "submitted", "unknown")
UNCONFIRMED = ("requested", "unknown")
"""States in which we do not know whether the gateway has the refund, nor its id."""
ASK_AFTER = timedelta(minutes=2)
WINDOW = timedelta(days=3)
"""Refunds that were started so long ago are listed once an hour."""
LONGEST_INTERVAL = timedelta(days=1)


def lock(session: Session, refund_id: int) -> Refund:
    """Return the refund as it is now, locked with its payment to the end of the transaction."""
    payment_id = session.scalars(select(Refund.payment_id).where(Refund.id == refund_id)).one()
    clawbacks.lock_payment(session, payment_id)
    return session.get_one(Refund, refund_id, with_for_update=True, populate_existing=True)


def record_failure(session: Session, refund_id: int, error: Exception) -> None:
    """Record why a refund's credit could not be settled."""
    clawbacks.record_failure(lock(session, refund_id), error)


def move(session: Session, refund: Refund, state: str) -> None:
    """Move a locked refund to another state; its credit is settled again if that changes it."""
    before, refund.state = refund.state, state
    refund.updated_at = clock.now()
    payment = session.get_one(Payment, refund.payment_id)
    if clawbacks.position_for(before) != clawbacks.position_for(state):
        refund.settled_at = None
    record_change(session, refund, payment, before)


def record_change(session: Session, refund: Refund, payment: Payment, before: str | None) -> None:
    """Record a refund's new state in the audit log, and give notice of it."""
    notified = {
        "state": refund.state,
        "payment": payment.gateway_payment_id,
        "amount_paise": refund.amount_paise,
        "gateway_refund_id": refund.gateway_refund_id,
    }
    audit.record(
        session, f"refund.{refund.state}", clawback_subject(refund),
        before=None if before is None else {"state": before},
        after={**notified, "reason": refund.reason},
    )  # fmt: skip
    notice = NewNotice(
        Topic(f"refund.{refund.state}"), clawback_subject(refund), payment.account_id,
        {"refund_id": refund.id, **notified},  # not the reason: somebody's own words
    )  # fmt: skip
    outbox.write(session, [notice], now=clock.now())


def start_inquiries(session: Session, *, gateway: str, limit: int) -> Sequence[Refund]:
    """Return the refunds to ask the gateway about now; each is due again, in growing intervals."""
    now = clock.now()
    due = session.scalars(
        select(Refund)
        .where(Refund.next_ask_at <= now, Refund.gateway == gateway)
        # Its credit is reserved first.
        .where(or_(Refund.state != "requested", Refund.settled_at.is_not(None)))
        .order_by(Refund.next_ask_at, Refund.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for refund in due:
        refund.next_ask_at = now + min(ASK_AFTER * (1 << min(refund.asks, 20)), LONGEST_INTERVAL)
        refund.asks += 1
    return due


def unsettled(session: Session, *, limit: int, after: int = 0) -> Sequence[int]:
    """Return the ids, above `after`, of refunds whose credit `settle` can bring in line."""
    return clawbacks.unsettled(session, Refund, limit=limit, after=after)


_UNEXPLAINED = text("""
SELECT p.id, p.gateway_payment_id, p.refunded_paise FROM billing_payments p
 WHERE p.gateway = :gateway AND p.credited_at IS NOT NULL
   AND p.refunded_paise > p.refunds_asked_paise
   AND p.refunded_paise > (SELECT coalesce(sum(r.amount_paise), 0) FROM billing_refunds r
                            WHERE r.payment_id = p.id AND r.state = 'processed')
 ORDER BY p.id LIMIT :limit
""")


def unexplained_payments(
    session: Session, *, gateway: str, limit: int
) -> list[tuple[int, str, int]]:
    """Return the credited payments of which more is refunded than our refunds account for.

    As (id, the gateway's id, refunded paise). The caller lists and records their refunds, then
    calls `mark_explained`.
    """
    rows = session.execute(_UNEXPLAINED, {"gateway": gateway, "limit": limit})
    return [(row[0], row[1], row[2]) for row in rows]


def mark_explained(session: Session, payment_id: int, refunded_paise: int) -> None:
    """Record that the gateway was asked for the refunds of a payment."""
    payment = clawbacks.lock_payment(session, payment_id)
    payment.refunds_asked_paise = max(payment.refunds_asked_paise, refunded_paise)

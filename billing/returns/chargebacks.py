"""Chargebacks: a payer's bank takes money back, or asks about it.

An open one holds the unspent credit, without an end, and flags the account. A lost one takes the
credit, as a refund does. A won or closed one frees it, or gives it back to its lots. An inquiry,
which moves no money, holds nothing. `billing/payments/clawbacks.py` settles the credit.

Called by `tasks/` and the command. Locks: the payment, then the chargeback, then the account.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

import clock
from billing import audit
from billing.accounts import review
from billing.payments import clawback_subject, clawbacks, locks
from billing.returns.facts import DisputeFacts
from billing.topics import Topic
from db import outbox
from db.models import Account, Chargeback, Payment
from db.outbox import NewNotice
from db.pages import Page, Wanted, read_page
from service import request_ids

OPEN = ("open", "under_review", "action_required")
WINDOW = timedelta(days=180)
"""A dispute that was opened earlier has ended."""
_RANK = {"open": 0, "action_required": 1, "under_review": 1, "closed": 2, "lost": 3, "won": 4}
"""Events come in any order: a fact of a lower rank is an old one. A closed chargeback may have been
lost, a lost one may still be won."""


def record_facts(session: Session, facts: Sequence[DisputeFacts]) -> list[str]:
    """Update the chargebacks from what the gateways report; return the state of each.

    Posts nothing: `settle` does, for the ids that `unsettled` returns.
    """
    states: dict[int, str] = {}
    for i in sorted(range(len(facts)), key=lambda i: (facts[i].gateway, facts[i].payment_id)):
        with request_ids.bound(facts[i].request_id):
            states[i] = _record_fact(session, facts[i])
    return [states[i] for i in range(len(facts))]


def settle(session: Session, chargeback_id: int, *, actor: str) -> bool:
    """Bring credit and flag in line with the state; return whether that is done."""
    chargeback = lock(session, chargeback_id)
    if not clawbacks.settle(session, chargeback, actor=actor):
        return False
    payment = session.get_one(Payment, chargeback.payment_id)
    if payment.account_id is not None and payment.credited_at is not None:
        if chargeback.state in {"won", "closed"}:
            if not _has_others(session, chargeback, payment.account_id):
                review.clear(session, payment.account_id, review.CHARGEBACK)
        elif chargeback.moves_money:
            review.flag(session, payment.account_id, review.CHARGEBACK)
    return True


def unsettled(session: Session, *, limit: int, after: int = 0) -> Sequence[int]:
    """Return the ids, above `after`, of chargebacks whose credit `settle` can bring in line."""
    return clawbacks.unsettled(session, Chargeback, limit=limit, after=after)


def record_failure(session: Session, chargeback_id: int, error: Exception) -> None:
    """Record why a chargeback's credit could not be settled."""
    clawbacks.record_failure(lock(session, chargeback_id), error)


def lock(session: Session, chargeback_id: int) -> Chargeback:
    """Return the chargeback as it is now, locked with its payment."""
    payment_id = session.scalars(
        select(Chargeback.payment_id).where(Chargeback.id == chargeback_id)
    ).one()
    clawbacks.lock_payment(session, payment_id)
    return session.get_one(Chargeback, chargeback_id, with_for_update=True, populate_existing=True)


def newest(
    session: Session, wanted: Wanted, *, needs_a_person: bool = False
) -> Page[tuple[Chargeback, Payment, str | None]]:
    """Return the newest chargebacks, each with its payment and its account's reference.

    `needs_a_person`: only those whose credit could not be settled.
    """
    query = _WITH_PAYMENT
    if needs_a_person:
        query = query.where(clawbacks.needs_a_person(Chargeback))
    return read_page(session, query, wanted, by=[Chargeback.id], time=Chargeback.created_at)


def open_by_deadline(
    session: Session, wanted: Wanted
) -> Page[tuple[Chargeback, Payment, str | None]]:
    """Return the open chargebacks as `newest` does, the one to be answered first at the top."""
    deadline = func.coalesce(Chargeback.respond_by, _NO_DEADLINE)
    return read_page(
        session,
        _WITH_PAYMENT.where(Chargeback.state.in_(OPEN)),
        wanted,
        by=[deadline, Chargeback.id],
        time=Chargeback.created_at,
        descending=False,
    )


_NO_DEADLINE = datetime(9999, 1, 1, tzinfo=UTC)
"""Sorts a chargeback without a deadline behind those that have one."""


_WITH_PAYMENT = (
    select(Chargeback, Payment, Account.ref)
    .join(Payment, Payment.id == Chargeback.payment_id)
    .outerjoin(Account, Account.id == Payment.account_id)
)


def _record_fact(session: Session, fact: DisputeFacts) -> str:
    payment = locks.lock_or_add_payment(session, fact.gateway, fact.payment_id, now=clock.now())
    chargeback, is_new = _find_or_add(session, payment, fact)
    before = None if is_new else chargeback.state
    if _leads_on(chargeback.state, fact.seen):
        if clawbacks.position_for(chargeback.state) != clawbacks.position_for(fact.seen):
            chargeback.settled_at = None
        chargeback.state = fact.seen
    if fact.moves_money and not chargeback.moves_money:
        chargeback.moves_money, chargeback.settled_at = True, None
    for name in ("phase", "reason_code", "respond_by"):
        value = getattr(fact, name)
        if value is not None:
            setattr(chargeback, name, value)
    chargeback.updated_at = clock.now()
    session.flush()
    if before != chargeback.state:
        _record_change(session, chargeback, payment, before)
    return chargeback.state


def _leads_on(state: str, seen: str) -> bool:
    """Return whether a chargeback may go to the state that was seen."""
    return _RANK[seen] > _RANK[state] or _RANK[seen] == _RANK[state] == 1


def _find_or_add(session: Session, payment: Payment, fact: DisputeFacts) -> tuple[Chargeback, bool]:
    now = clock.now()
    made = session.scalar(
        insert(Chargeback)
        .values(
            payment_id=payment.id, gateway=fact.gateway, gateway_dispute_id=fact.dispute_id,
            amount_paise=fact.amount_paise, phase=fact.phase,
            reason_code=fact.reason_code, moves_money=fact.moves_money,
            respond_by=fact.respond_by, state=fact.seen, created_at=now, updated_at=now,
        )
        .on_conflict_do_nothing(
            index_elements=[Chargeback.gateway, Chargeback.gateway_dispute_id]
        )
        .returning(Chargeback.id)
    )  # fmt: skip
    chargeback = session.scalars(
        select(Chargeback)
        .where(Chargeback.gateway == fact.gateway, Chargeback.gateway_dispute_id == fact.dispute_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
    return chargeback, made is not None


def _has_others(session: Session, chargeback: Chargeback, account_id: int) -> bool:
    return bool(
        session.scalars(
            select(Chargeback.id)
            .join(Payment, Payment.id == Chargeback.payment_id)
            .where(
                Payment.account_id == account_id,
                Chargeback.id != chargeback.id,
                Chargeback.moves_money,
                Chargeback.state.in_([*OPEN, "lost"]),
            )
            .limit(1)
        ).first()
    )


def _record_change(
    session: Session, chargeback: Chargeback, payment: Payment, before: str | None
) -> None:
    after = {
        "state": chargeback.state,
        "payment": payment.gateway_payment_id,
        "dispute": chargeback.gateway_dispute_id,
        "amount_paise": chargeback.amount_paise,
        "moves_money": chargeback.moves_money,
        "respond_by": chargeback.respond_by.isoformat() if chargeback.respond_by else None,
    }
    subject = clawback_subject(chargeback)
    audit.record(
        session, f"chargeback.{chargeback.state}", subject,
        before=None if before is None else {"state": before}, after=after,
    )  # fmt: skip
    notice = NewNotice(Topic(f"chargeback.{chargeback.state}"), subject, payment.account_id, after)
    outbox.write(session, [notice], now=clock.now())

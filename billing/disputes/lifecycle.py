"""Lead disputes: a clinic says that a lead was bad; an operator approves it, or does not.

Opened by the API, the command and the handler of Celery calls; resolved by the command, withdrawn
by the API too. An approval gives the lead's charge back (`billing/credit/reversals.py`), wholly or
in part, to the very lots it came from. What is read of disputes: `billing/disputes/queries.py`.

Locks, always in this order: the account, the lead's row, the dispute's row, the quality scores. To
open takes the lead's row alone and never waits for an account, so that a batch of openings cannot
stand in the way of a batch of charges. The lead's row is what openings and resolutions of one lead
wait for each other at: who opens sees whatever was decided before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import select, text
from sqlalchemy.orm import Session

import clock
from billing import audit, catalog
from billing.credit import reversals
from billing.disputes import quality
from billing.disputes import validation as dispute_contents
from billing.disputes.errors import (
    DisputedBefore,
    DisputeOpen,
    DisputeResolved,
    DisputeWindowOver,
    InvalidDispute,
    LeadNotCharged,
    NothingToRefund,
    UnknownDispute,
)
from billing.errors import IdempotencyConflict
from billing.leads import UnknownLead
from billing.ledger import reversible_credits
from db import outbox
from db.models import Account, CreditTransaction, LeadCharge, LeadDispute
from db.outbox import NewNotice

State = Literal["pending", "approved", "partially_approved", "rejected", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Opened:
    """A dispute, and whether it was on record from the same request before."""

    dispute: LeadDispute
    repeated: bool


def open_dispute(
    session: Session,
    *,
    lead_id: str,
    account: str,
    dispute_type: str,
    description: str,
    evidence: Any = None,
    request_key: str,
    actor: str,
) -> Opened:
    """Open the dispute of a lead that was charged to `account`; the same request once more: none.

    `description` is text of up to 1,000 characters, line breaks included; `evidence` plain JSON of
    up to 16 KiB. `request_key` stands for one request of this account. The window of the catalog
    runs from the moment the ledger took the credits: a lead that was parked is disputed once it
    has cost something. A lead whose dispute was decided is not disputed again, unless its clinic
    had withdrawn it.

    Raises `InvalidDispute`; `UnknownLead`, for a lead of another account too; `DisputeOpen`,
    `DisputedBefore`, `LeadNotCharged`, `DisputeWindowOver`; `IdempotencyConflict`.
    """
    content = dispute_contents.check(
        lead_id=lead_id, account=account, dispute_type=dispute_type, description=description,
        evidence=evidence, request_key=request_key, actor=actor,
    )  # fmt: skip
    lead = _lock_lead(session, lead_id)
    owner = session.get(Account, lead.account_id) if lead else None
    if lead is None or owner is None or owner.ref != account:
        raise UnknownLead(lead_id)
    # A reference holds one colon, so that no other account's request comes to the same key.
    key = f"{account}:{request_key}"
    before = _of_key(session, key, content)
    if before is not None:
        return before
    _check_disputable(session, lead)
    dispute_id = session.scalar(
        _INSERT,
        {
            **content.columns, "lead_id": lead_id, "account_id": lead.account_id, "key": key,
            "actor": actor, "now": clock.now(),
        },
    )  # fmt: skip
    if dispute_id is None:
        # Another lead's dispute was opened with this key while we asked: it is a conflict by now.
        before = _of_key(session, key, content)
        assert before is not None  # noqa: S101 - nothing but the key stands in the way
        return before
    dispute = session.get_one(LeadDispute, dispute_id)
    _tell_opened(session, dispute, account)
    return Opened(dispute, repeated=False)


def approve(
    session: Session, dispute_id: int, *, amount: int | None = None, notes: str, actor: str
) -> LeadDispute:
    """Give credits of the lead's charge back and end the dispute; return it.

    `amount` None: whatever can still be given back, which makes it approved, as does the same
    amount in numbers; less makes it partially approved. Posts once. Raises `UnknownDispute`,
    `DisputeResolved`, `InvalidDispute`, `NothingToRefund`, or `ReversalTooLarge` for more than is
    left: nothing is then changed.
    """
    dispute_contents.check_resolution(notes=notes, actor=actor)
    if amount is not None and (type(amount) is not int or amount <= 0):
        raise InvalidDispute("amount", "must be a whole number of credits, at least 1")
    case = _lock_pending(session, dispute_id)
    left = reversible_credits(session, case.charge_key)
    if not left:
        raise NothingToRefund(dispute_id, case.dispute.lead_id)
    refunded = left if amount is None else amount
    reversals.reverse(
        session,
        charge_key=case.charge_key,
        amount=refunded,
        reason=f"Dispute {dispute_id} of lead {case.dispute.lead_id}: {case.dispute.type}",
        actor=actor,
        idempotency_key=f"dispute:{dispute_id}:refund",
        dispute_id=str(dispute_id),
    )
    state: State = "approved" if refunded == left else "partially_approved"
    return _resolve(session, case, state, credits_=refunded, notes=notes, actor=actor)


def reject(session: Session, dispute_id: int, *, notes: str, actor: str) -> LeadDispute:
    """End the dispute without giving anything back; return it.

    Raises `UnknownDispute`, `DisputeResolved` or `InvalidDispute`.
    """
    dispute_contents.check_resolution(notes=notes, actor=actor)
    case = _lock_pending(session, dispute_id)
    return _resolve(session, case, "rejected", notes=notes, actor=actor)


def withdraw(
    session: Session, dispute_id: int, *, notes: str | None = None, actor: str
) -> LeadDispute:
    """Let the clinic take its dispute back; return it. The lead may be disputed again.

    Raises `UnknownDispute`, `DisputeResolved` or `InvalidDispute`.
    """
    dispute_contents.check_resolution(notes=notes, actor=actor)
    case = _lock_pending(session, dispute_id)
    return _resolve(session, case, "withdrawn", notes=notes, actor=actor)


@dataclass(frozen=True, slots=True)
class _Case:
    """A pending dispute with all that its resolution touches, locked."""

    dispute: LeadDispute
    account: Account
    lead: LeadCharge
    charge_key: str


_INSERT = text("""
INSERT INTO lead_disputes (lead_id, account_id, type, description, evidence, state, request_key,
                           opened_by, created_at)
VALUES (:lead_id, :account_id, :type, :description, CAST(:evidence AS jsonb), 'pending', :key,
        :actor, :now)
ON CONFLICT (request_key) DO NOTHING RETURNING id
""")
# PostgreSQL compares, whose numbers and objects need not come back as Python wrote them.
_OF_KEY = text("""
SELECT id, lead_id, type, description = :description AS same_description,
       evidence IS NOT DISTINCT FROM CAST(:evidence AS jsonb) AS same_evidence
  FROM lead_disputes WHERE request_key = :key
""")


def _of_key(session: Session, key: str, content: dispute_contents.Content) -> Opened | None:
    row = session.execute(_OF_KEY, {**content.compared, "key": key}).one_or_none()
    if row is None:
        return None
    differences: dict[str, tuple[object, object]] = {}
    if row.lead_id != content.lead_id:
        differences["lead_id"] = (row.lead_id, content.lead_id)
    if row.type != content.dispute_type:
        differences["dispute_type"] = (row.type, content.dispute_type)
    for field, same in (("description", row.same_description), ("evidence", row.same_evidence)):
        if not same:  # personal data: it is told that they differ, and not how
            differences[field] = ("one text", "another")
    if differences:
        raise IdempotencyConflict(f"the request of dispute {row.id}", differences)
    return Opened(session.get_one(LeadDispute, row.id), repeated=True)


def _lock_lead(session: Session, lead_id: str) -> LeadCharge | None:
    return session.get(
        LeadCharge, lead_id, with_for_update={"key_share": True}, populate_existing=True
    )


def _check_disputable(session: Session, lead: LeadCharge) -> None:
    for dispute_id, state in _standing(session, lead.lead_id):
        if state == "pending":
            raise DisputeOpen(lead.lead_id, dispute_id)
        raise DisputedBefore(lead.lead_id, dispute_id, state)
    if lead.state != "charged":
        raise LeadNotCharged(lead.lead_id, lead.state)
    window = timedelta(days=catalog.get().disputes.window_days)
    ends_at = _charge_of(session, lead).created_at + window
    if clock.now() > ends_at:
        raise DisputeWindowOver(lead.lead_id, ends_at)


def _standing(session: Session, lead_id: str) -> Sequence[tuple[int, str]]:
    query = select(LeadDispute.id, LeadDispute.state).where(
        LeadDispute.lead_id == lead_id, LeadDispute.state != "withdrawn"
    )
    return [(row.id, row.state) for row in session.execute(query.order_by(LeadDispute.id.desc()))]


def _charge_of(session: Session, lead: LeadCharge) -> CreditTransaction:
    return session.get_one(CreditTransaction, lead.transaction_id)


def _lock_pending(session: Session, dispute_id: int) -> _Case:
    found = session.get(LeadDispute, dispute_id)
    if found is None:
        raise UnknownDispute(dispute_id)
    account = session.get_one(
        Account, found.account_id, with_for_update={"key_share": True}, populate_existing=True
    )
    lead = _lock_lead(session, found.lead_id)
    dispute = session.get_one(LeadDispute, dispute_id, with_for_update=True, populate_existing=True)
    if dispute.state != "pending":
        raise DisputeResolved(dispute_id, dispute.state, dispute.resolved_by or "nobody")
    assert lead is not None  # noqa: S101 - a foreign key keeps it
    return _Case(dispute, account, lead, _charge_of(session, lead).idempotency_key)


def _resolve(
    session: Session,
    case: _Case,
    state: State,
    *,
    credits_: int = 0,
    notes: str | None,
    actor: str,
) -> LeadDispute:
    dispute = case.dispute
    dispute.state, dispute.credits_refunded = state, credits_
    dispute.resolved_by, dispute.resolved_at, dispute.notes = actor, clock.now(), notes
    session.flush()
    audit.record(
        session,
        f"dispute.{state}",
        f"dispute:{dispute.id}",
        before={"state": "pending"},
        after={"state": state, "credits_refunded": credits_, "notes": notes},
    )
    told = {"state": state, "credits_refunded": credits_}
    _tell(session, "resolved", dispute, case.account.ref, told, now=dispute.resolved_at)
    quality.rescore(session, case.account, source=case.lead.source)
    return dispute


def _tell_opened(session: Session, dispute: LeadDispute, account: str) -> None:
    audit.record(
        session,
        "dispute.opened",
        f"dispute:{dispute.id}",
        before=None,
        after={
            "state": "pending", "lead_id": dispute.lead_id, "account": account,
            "type": dispute.type,
        },
    )  # fmt: skip
    _tell(session, "opened", dispute, account, {"type": dispute.type}, now=dispute.created_at)


def _tell(
    session: Session,
    what: str,
    dispute: LeadDispute,
    account: str,
    more: Mapping[str, object],
    *,
    now: datetime,
) -> None:
    payload = {"dispute_id": dispute.id, "lead_id": dispute.lead_id, "account": account, **more}
    notice = NewNotice(f"dispute.{what}", f"dispute:{dispute.id}", dispute.account_id, payload)
    outbox.write(session, [notice], now=now)

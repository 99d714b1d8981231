"""Opening the dispute of a lead: a clinic says that the lead was bad.

Called by the API, the command and the handler of Celery calls.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

import clock
from billing import catalog
from billing.disputes import validation
from billing.disputes.decisions import check_disputable
from billing.disputes.locks import lock_lead
from billing.disputes.notices import record_opened
from billing.disputes.validation import DisputeContent
from billing.errors import IdempotencyConflict
from billing.leads import UnknownLead
from db.models import Account, CreditTransaction, LeadCharge, LeadDispute
from service import request_ids


@dataclass(frozen=True, slots=True)
class OpenedDispute:
    """A dispute, and whether an earlier call with the same request opened it."""

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
) -> OpenedDispute:
    """Open the dispute of a lead that was charged to `account`, once for each request.

    `description` is text of up to 1,000 characters, line breaks included; `evidence` plain JSON of
    up to 16 KiB. `request_key` identifies one request of this account: the same key and content
    return the dispute that is on record. The catalog's window runs from the moment the ledger took
    the credits, also for a lead that was parked before. A lead whose dispute was decided is not
    disputed again; after a withdrawal it may be.

    Raises `InvalidDispute`; `UnknownLead`, for a lead of another account too; `DisputeOpen`,
    `DisputedBefore`, `LeadNotCharged`, `DisputeWindowOver`; `IdempotencyConflict`.
    """
    content = validation.dispute_content(
        lead_id=lead_id,
        account=account,
        dispute_type=dispute_type,
        description=description,
        evidence=evidence,
        request_key=request_key,
        actor=actor,
    )
    lead = lock_lead(session, lead_id)
    owner = session.get(Account, lead.account_id) if lead else None
    if lead is None or owner is None or owner.ref != account:
        raise UnknownLead(lead_id)
    # A reference holds one colon, so that no other account's request makes the same key.
    key = f"{account}:{request_key}"
    repeated = _find_repeated(session, key, content)
    if repeated is not None:
        return repeated
    check_disputable(
        lead,
        earlier=_find_earlier(session, lead_id),
        charged_at=_charged_at(session, lead),
        window=timedelta(days=catalog.get().disputes.window_days),
        now=clock.now(),
    )
    dispute = _insert(session, lead, content, key=key, actor=actor)
    if dispute is None:
        # Another lead's dispute was opened with this key after the first look: a conflict.
        repeated = _find_repeated(session, key, content)
        assert repeated is not None  # only the key can keep the row out
        return repeated
    record_opened(session, dispute, account=account)
    return OpenedDispute(dispute, repeated=False)


# PostgreSQL compares: its numbers and objects need not come back as Python wrote them.
_OF_KEY = text("""
SELECT id, lead_id, type, description = :description AS same_description,
       evidence IS NOT DISTINCT FROM CAST(:evidence AS jsonb) AS same_evidence
  FROM lead_disputes WHERE request_key = :key
""")
_INSERT = text("""
INSERT INTO lead_disputes (lead_id, account_id, type, description, evidence, state, request_key,
                           opened_by, created_at, request_id)
VALUES (:lead_id, :account_id, :type, :description, CAST(:evidence AS jsonb), 'pending', :key,
        :actor, :now, :request_id)
ON CONFLICT (request_key) DO NOTHING RETURNING id
""")


def _find_repeated(session: Session, key: str, content: DisputeContent) -> OpenedDispute | None:
    """Return the dispute that a request with this key opened; None if there is none.

    Raises `IdempotencyConflict` if that request had other content.
    """
    compared = {"description": content.description, "evidence": content.evidence, "key": key}
    row = session.execute(_OF_KEY, compared).one_or_none()
    if row is None:
        return None
    differences: dict[str, tuple[object, object]] = {}
    if row.lead_id != content.lead_id:
        differences["lead_id"] = (row.lead_id, content.lead_id)
    if row.type != content.dispute_type:
        differences["dispute_type"] = (row.type, content.dispute_type)
    for field, same in (("description", row.same_description), ("evidence", row.same_evidence)):
        if not same:  # personal data: the error says that they differ, and not how
            differences[field] = ("one text", "another")
    if differences:
        raise IdempotencyConflict(f"the request of dispute {row.id}", differences)
    return OpenedDispute(session.get_one(LeadDispute, row.id), repeated=True)


def _find_earlier(session: Session, lead_id: str) -> LeadDispute | None:
    """Return the newest dispute of a lead that was not withdrawn, as it is now."""
    query = select(LeadDispute).where(
        LeadDispute.lead_id == lead_id, LeadDispute.state != "withdrawn"
    )
    newest = query.order_by(LeadDispute.id.desc()).limit(1)
    return session.scalars(newest.execution_options(populate_existing=True)).one_or_none()


def _charged_at(session: Session, lead: LeadCharge) -> datetime | None:
    if lead.transaction_id is None:
        return None
    return session.get_one(CreditTransaction, lead.transaction_id).created_at


def _insert(
    session: Session, lead: LeadCharge, content: DisputeContent, *, key: str, actor: str
) -> LeadDispute | None:
    """Add a pending dispute and return it; None if the key is already used."""
    dispute_id = session.scalar(
        _INSERT,
        {
            "lead_id": lead.lead_id,
            "account_id": lead.account_id,
            "type": content.dispute_type,
            "description": content.description,
            "evidence": content.evidence,
            "key": key,
            "actor": actor,
            "now": clock.now(),
            "request_id": request_ids.current(),
        },
    )
    return None if dispute_id is None else session.get_one(LeadDispute, dispute_id)

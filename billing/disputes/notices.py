"""The audit entry and the notice of a dispute that was opened or resolved.

Called by `billing/disputes/opening.py` and `billing/disputes/resolution.py`.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.orm import Session

from billing import audit
from billing.topics import Topic
from db import outbox
from db.models import LeadDispute
from db.outbox import NewNotice


def record_opened(session: Session, dispute: LeadDispute, *, account: str) -> None:
    """Record that a dispute of `account` (its reference) was opened."""
    after = {
        "state": "pending",
        "lead_id": dispute.lead_id,
        "account": account,
        "type": dispute.type,
    }
    audit.record(session, "dispute.opened", f"dispute:{dispute.id}", before=None, after=after)
    _write_notice(
        session,
        Topic.DISPUTE_OPENED,
        dispute,
        account=account,
        details={"type": dispute.type},
        now=dispute.created_at,
    )


def record_resolved(session: Session, dispute: LeadDispute, *, account: str, now: datetime) -> None:
    """Record that a dispute of `account` (its reference) was resolved, as its row says."""
    details = {"state": dispute.state, "credits_refunded": dispute.credits_refunded}
    audit.record(
        session,
        f"dispute.{dispute.state}",
        f"dispute:{dispute.id}",
        before={"state": "pending"},
        after={**details, "notes": dispute.notes},
    )
    _write_notice(
        session, Topic.DISPUTE_RESOLVED, dispute, account=account, details=details, now=now
    )


def _write_notice(
    session: Session,
    topic: Topic,
    dispute: LeadDispute,
    *,
    account: str,
    details: Mapping[str, object],
    now: datetime,
) -> None:
    payload = {
        "dispute_id": dispute.id,
        "lead_id": dispute.lead_id,
        "account": account,
        **details,
    }
    notice = NewNotice(topic, f"dispute:{dispute.id}", dispute.account_id, payload)
    outbox.write(session, [notice], now=now)

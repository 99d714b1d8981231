"""The rows of `lead_charges`: read in bulk, added, moved to another state, with their notices.

Used by `billing/leads/charging.py`, `billing/leads/parking.py` and `billing/credit/reversals.py`.
Whoever changes the state of a lead holds its account's lock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from billing import audit
from billing.topics import Topic
from db import outbox
from db.bulk import copy_rows, int_array, text_array
from db.outbox import NewNotice
from service import request_ids


@dataclass(frozen=True, slots=True)
class RecordedLead:
    """What is on record of a lead."""

    lead_id: str
    account: str
    package_price_paise: int
    credits: int
    state: str


_RECORDED = text("""
SELECT l.lead_id, a.ref, l.package_price_paise, l.credits, l.state
  FROM lead_charges l JOIN accounts a ON a.id = l.account_id
 WHERE l.lead_id = ANY(CAST(:ids AS text[]))
""")


def recorded_leads(session: Session, lead_ids: Iterable[str]) -> dict[str, RecordedLead]:
    """Return those of the leads that are on record, by id."""
    rows = session.execute(_RECORDED, {"ids": text_array(lead_ids)})
    return {row[0]: RecordedLead(*row) for row in rows}


@dataclass(frozen=True, slots=True)
class NewLead:
    """A lead that is not on record yet: charged, or parked."""

    lead_id: str
    account_id: int
    account: str
    package_price_paise: int
    credits: int
    state: str
    transaction_id: int | None
    source: str | None
    occurred_at: datetime | None
    request_id: str | None

    @property
    def notice(self) -> NewNotice:
        """The notice of it for the outbox."""
        topic = Topic(f"lead.{self.state}")
        return notice(
            topic, self.lead_id, self.account_id, self.account, self.credits, self.request_id
        )


_COLUMNS = (
    "lead_id", "account_id", "package_price_paise", "credits", "state", "transaction_id",
    "source", "occurred_at", "created_at", "updated_at", "parked_number", "request_id",
)  # fmt: skip
_PARKED_NUMBERS = text("SELECT nextval('lead_parking_seq') FROM generate_series(1, :count)")


def insert(session: Session, leads: Sequence[NewLead], *, now: datetime) -> None:
    """Add the rows of newly charged and newly parked leads, and their notices.

    The parked get their place in the order of `leads`. Two transactions that add one lead at once
    collide on its primary key; one is tried again.
    """
    if not leads:
        return
    parked = [lead for lead in leads if lead.state == "parked"]
    numbers = session.scalars(_PARKED_NUMBERS, {"count": len(parked)}).all() if parked else []
    number_of = {lead.lead_id: number for lead, number in zip(parked, numbers, strict=True)}
    values = [
        (
            lead.lead_id, lead.account_id, lead.package_price_paise, lead.credits, lead.state,
            lead.transaction_id, lead.source, lead.occurred_at or now, now, now,
            number_of.get(lead.lead_id), lead.request_id,
        )
        for lead in leads
    ]  # fmt: skip
    copy_rows(session, "lead_charges", _COLUMNS, sorted(values, key=lambda value: str(value[0])))
    outbox.write(session, [lead.notice for lead in leads], now=now)
    audit.record_all(
        session,
        [
            audit.Change(
                f"lead:{lead.lead_id}",
                "lead.parked",
                None,
                {"state": "parked", "account": lead.account, "credits": lead.credits},
                lead.request_id,
            )
            for lead in parked
        ],
    )


_MARK_CHARGED = text("""
UPDATE lead_charges l SET state = 'charged', transaction_id = n.id, updated_at = :now
  FROM unnest(CAST(:leads AS text[]), CAST(:ids AS bigint[])) AS n(lead_id, id)
 WHERE l.lead_id = n.lead_id AND l.state = 'parked'
""")
_END = text("""
UPDATE lead_charges SET state = :state, updated_at = :now
 WHERE lead_id = :lead_id AND state = :before RETURNING account_id, credits, request_id
""")


def mark_charged(session: Session, transactions: Mapping[str, int], *, now: datetime) -> None:
    """Make parked leads charged; `transactions`: lead id -> the id of its ledger row."""
    session.execute(
        _MARK_CHARGED,
        {"leads": text_array(transactions), "ids": int_array(transactions.values()), "now": now},
    )


def end_lead(
    session: Session, lead_id: str, *, account: str, before: str, state: str, now: datetime
) -> bool:
    """Move a lead from state `before` to its last, and write the notice of it.

    Returns False, and changes nothing, if it is in another state.
    """
    ended = session.execute(
        _END, {"lead_id": lead_id, "before": before, "state": state, "now": now}
    ).one_or_none()
    if ended is None:
        return False
    topic = Topic(f"lead.{state}")
    request_id = request_ids.current() or ended.request_id
    ending = notice(topic, lead_id, ended.account_id, account, ended.credits, request_id)
    outbox.write(session, [ending], now=now)
    return True


def notice(
    topic: Topic,
    lead_id: str,
    account_id: int,
    account: str,
    price_credits: int,
    request_id: str | None,
) -> NewNotice:
    """Return the notice of what happened to a lead."""
    return NewNotice(
        topic,
        f"lead:{lead_id}",
        account_id,
        {"lead_id": lead_id, "account": account, "credits": price_credits},
        request_id=request_id,
    )

"""The rows of leads: `lead_charges`, the conflicts beside it, and what the outbox tells of them.

Called by `billing/leads/charging.py`, `billing/leads/parking.py` and `billing/credit/reversals.py`.
Whoever changes the state of a lead holds its account's lock.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

import clock
from billing import audit
from billing.errors import IdempotencyConflict
from billing.ledger import availability
from db import outbox
from db.bulk import copy_rows, int_array, text_array
from db.outbox import NewNotice
from errors import PermanentError

PARKED_IS_COVERED = f"""{availability.AVAILABLE} >=
  (SELECT l.credits FROM lead_charges l WHERE l.account_id = a.id AND l.state = 'parked'
    ORDER BY l.parked_number, l.lead_id LIMIT 1)"""  # noqa: S608 - our own text


@dataclass(frozen=True, slots=True)
class Recorded:
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


def recorded(session: Session, lead_ids: Iterable[str]) -> dict[str, Recorded]:
    """Return what is on record of the leads, by id."""
    rows = session.execute(_RECORDED, {"ids": text_array(lead_ids)})
    return {row[0]: Recorded(*row) for row in rows}


@dataclass(frozen=True, slots=True)
class NewRow:
    """A lead that was not known before: charged, or parked."""

    lead_id: str
    account_id: int
    account: str
    package_price_paise: int
    credits: int
    state: str
    transaction_id: int | None
    source: str | None
    occurred_at: datetime | None

    @property
    def notice(self) -> NewNotice:
        """What the outbox tells of it."""
        return notice(self.state, self.lead_id, self.account_id, self.account, self.credits)


_COLUMNS = (
    "lead_id", "account_id", "package_price_paise", "credits", "state", "transaction_id",
    "source", "occurred_at", "created_at", "updated_at", "parked_number",
)  # fmt: skip
_PARKING = text("SELECT nextval('lead_parking_seq') FROM generate_series(1, :count)")


def write(session: Session, rows: Sequence[NewRow], *, now: datetime) -> None:
    """Add the rows of newly charged and newly parked leads, and tell of them.

    The parked get their place in the order of `rows`. Two transactions that add one lead at once
    collide on its primary key; one is tried again.
    """
    if not rows:
        return
    parked = [row for row in rows if row.state == "parked"]
    numbers = session.scalars(_PARKING, {"count": len(parked)}).all() if parked else []
    number_of = {row.lead_id: number for row, number in zip(parked, numbers, strict=True)}
    values = [
        (
            row.lead_id, row.account_id, row.package_price_paise, row.credits, row.state,
            row.transaction_id, row.source, row.occurred_at or now, now, now,
            number_of.get(row.lead_id),
        )
        for row in rows
    ]  # fmt: skip
    copy_rows(session, "lead_charges", _COLUMNS, sorted(values, key=lambda value: str(value[0])))
    outbox.write(session, [row.notice for row in rows], now=now)
    audit.record_all(
        session,
        [
            audit.Change(
                f"lead:{row.lead_id}",
                "lead.parked",
                None,
                {"state": "parked", "account": row.account, "credits": row.credits},
            )
            for row in parked
        ],
    )


# A request that is sent again and again is one conflict.
_CONFLICTS = text("""
INSERT INTO lead_conflicts (lead_id, account_id, package_price_paise, actor, created_at)
SELECT DISTINCT n.lead_id, a.id, n.price, :actor, CAST(:now AS timestamptz)
  FROM unnest(CAST(:leads AS text[]), CAST(:refs AS text[]), CAST(:prices AS bigint[]))
       AS n(lead_id, ref, price)
  JOIN accounts a ON a.ref = n.ref
 WHERE NOT EXISTS (SELECT FROM lead_conflicts c WHERE c.lead_id = n.lead_id
                      AND c.account_id = a.id AND c.package_price_paise = n.price)
""")


def write_refused(
    session: Session,
    refused: Sequence[tuple[str, str, int, PermanentError]],
    *,
    actor: str,
    now: datetime,
) -> None:
    """Tell of refused requests (lead, account, package price, why), and keep the conflicts."""
    conflicts = [entry for entry in refused if isinstance(entry[3], IdempotencyConflict)]
    if conflicts:
        session.execute(
            _CONFLICTS,
            {
                "leads": text_array(lead_id for lead_id, *_ in conflicts),
                "refs": text_array(account for _, account, *_ in conflicts),
                "prices": int_array(price for _, _, price, _ in conflicts),
                "actor": actor,
                "now": now,
            },
        )
    outbox.write(
        session,
        [
            NewNotice(
                "lead.conflict" if isinstance(error, IdempotencyConflict) else "lead.refused",
                f"lead:{lead_id}",
                None,
                {"lead_id": lead_id, "account": account, "reason": type(error).__name__},
            )
            for lead_id, account, _, error in refused
        ],
        now=now,
    )


_MAYBE_DUE = text("""
SELECT DISTINCT a.ref FROM lead_charges l JOIN accounts a ON a.id = l.account_id
 WHERE l.state = 'parked' AND a.ref = ANY(CAST(:refs AS text[]))
""")
_LOCK = text("""
SELECT 1 FROM accounts WHERE ref = ANY(CAST(:refs AS text[])) ORDER BY id FOR NO KEY UPDATE
""")
_DUE = text(f"""
SELECT a.ref, a.id FROM accounts a
 WHERE a.ref = ANY(CAST(:refs AS text[])) AND {PARKED_IS_COVERED}
""")  # noqa: S608 - put together from our own text


def lock_due(session: Session, accounts: Collection[str]) -> dict[str, int]:
    """Return those of `accounts` whose oldest parked lead is covered: reference -> id.

    Such a lead is released in a moment, and what comes now has to wait behind it. Where any has a
    parked lead, all of them are locked, in the order of every post.
    """
    refs = session.scalars(_MAYBE_DUE, {"refs": text_array(accounts)}).all()
    if not refs:
        return {}
    session.execute(_LOCK, {"refs": text_array(accounts)})
    due = session.execute(_DUE, {"refs": text_array(refs), "now": clock.now()})
    return {ref: id_ for ref, id_ in due}  # noqa: C416 - rows are not pairs to dict()


_CHARGED = text("""
UPDATE lead_charges l SET state = 'charged', transaction_id = n.id, updated_at = :now
  FROM unnest(CAST(:leads AS text[]), CAST(:ids AS bigint[])) AS n(lead_id, id)
 WHERE l.lead_id = n.lead_id AND l.state = 'parked'
""")
_ENDED = text("""
UPDATE lead_charges SET state = :state, updated_at = :now
 WHERE lead_id = :lead_id AND state = :before RETURNING account_id, credits
""")


def charged(session: Session, transactions: Mapping[str, int], *, now: datetime) -> None:
    """Make parked leads charged: lead id -> the id of its ledger row."""
    session.execute(
        _CHARGED,
        {"leads": text_array(transactions), "ids": int_array(transactions.values()), "now": now},
    )


def ended(
    session: Session, lead_id: str, *, account: str, before: str, state: str, now: datetime
) -> bool:
    """Take a lead from one state to its last, and tell of it; False where it was not in it."""
    found = session.execute(
        _ENDED, {"lead_id": lead_id, "before": before, "state": state, "now": now}
    ).one_or_none()
    if found is None:
        return False
    told = notice(state, lead_id, found.account_id, account, found.credits)
    outbox.write(session, [told], now=now)
    return True


def notice(what: str, lead_id: str, account_id: int, account: str, credits_: int) -> NewNotice:
    """Return what the outbox tells of a lead: `lead.charged`, `lead.parked`, ..."""
    return NewNotice(
        f"lead.{what}",
        f"lead:{lead_id}",
        account_id,
        {"lead_id": lead_id, "account": account, "credits": credits_},
    )

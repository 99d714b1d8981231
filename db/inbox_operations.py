"""What operators do with the inbox: they list its rows, and make dead ones pending again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.bulk import int_array
from db.models import InboundEvent
from db.pages import Page, Wanted, read_page

_REPLAY = text("""
UPDATE inbound_events
   SET state = 'pending', attempts = 0, next_attempt_at = :now, lease_id = NULL,
       lease_size = NULL, leased_until = NULL, handled_at = NULL, lead_id = NULL,
       account_ref = NULL
 WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'dead' AND blanked_at IS NULL
RETURNING id
""")


def replay(session: Session, event_ids: Sequence[int], *, now: datetime) -> list[int]:
    """Make dead rows pending again; return those that were dead. Their last error stays.

    A row whose body was blanked stays dead: there is nothing left to work on.
    """
    return sorted(session.scalars(_REPLAY, {"ids": int_array(event_ids), "now": now}))


def dead_ids(session: Session) -> list[int]:
    """Return the ids of all dead rows that can be replayed."""
    dead = (InboundEvent.state == "dead", InboundEvent.blanked_at.is_(None))
    return list(session.scalars(select(InboundEvent.id).where(*dead).order_by(InboundEvent.id)))


def blanked_ids(session: Session, event_ids: Sequence[int]) -> list[int]:
    """Return which of these rows have lost their body; see `billing/privacy/`."""
    chosen = InboundEvent.id.in_(event_ids)
    blanked = select(InboundEvent.id).where(chosen, InboundEvent.blanked_at.is_not(None))
    return sorted(session.scalars(blanked))


@dataclass(frozen=True, slots=True)
class Sought:
    """A lead or an account that rows are looked for by."""

    value: str
    spellings: Sequence[bytes]
    """How bodies may spell it: rows that no handler has read yet are searched for these."""


# A row that a handler has read is found by its column. The few that none has read (they wait, or
# died before) are searched; each part has a partial index. An array, so that the rows are then read
# by their ids, whatever the planner thinks of how many they are.
_ABOUT = """
inbound_events.id = ANY(ARRAY(
{read}
  UNION
  SELECT id FROM inbound_events
   WHERE state = 'pending' AND {column} IS NULL
     AND EXISTS (SELECT FROM unnest(CAST(:{column}_spellings AS bytea[])) AS needle
                  WHERE position(needle IN body) > 0)
  UNION
  SELECT id FROM inbound_events
   WHERE state = 'dead' AND {column} IS NULL
     AND EXISTS (SELECT FROM unnest(CAST(:{column}_spellings AS bytea[])) AS needle
                  WHERE position(needle IN body) > 0)))
"""
_READ = {
    "lead_id": "SELECT id FROM inbound_events WHERE lead_id = :lead_id",
    # The index of accounts leaves out the leads that are done (`db/models/inbox.py`): these are
    # found by the account's ledger rows, and by its parked leads.
    "account_ref": """
  SELECT id FROM inbound_events
   WHERE account_ref = :account_ref AND (state <> 'done' OR lead_id IS NULL)
  UNION
  SELECT e.id FROM accounts a JOIN credit_transactions t ON t.account_id = a.id
                              JOIN inbound_events e ON e.lead_id = t.lead_id
   WHERE a.ref = :account_ref AND t.kind = 'lead_charge' AND e.account_ref = a.ref
  UNION
  SELECT e.id FROM accounts a JOIN lead_charges c ON c.account_id = a.id
                              JOIN inbound_events e ON e.lead_id = c.lead_id
   WHERE a.ref = :account_ref AND c.state = 'parked' AND e.account_ref = a.ref
""",
}
# The unique index begins with the source: this reads one entry of it for each.
_ALL_SOURCES = text("""
WITH RECURSIVE known AS (
  (SELECT source FROM inbound_events ORDER BY source LIMIT 1)
  UNION ALL
  SELECT (SELECT e.source FROM inbound_events e WHERE e.source > k.source
           ORDER BY e.source LIMIT 1)
    FROM known k WHERE k.source IS NOT NULL)
SELECT source FROM known WHERE source IS NOT NULL
""")


def newest(
    session: Session,
    wanted: Wanted,
    *,
    state: str | None = None,
    source: str | None = None,
    event_id: str | None = None,
    lead: Sought | None = None,
    account: Sought | None = None,
) -> Page[InboundEvent]:
    """Return the newest rows, newest first, of all that is given; None does not limit the list.

    `event_id` is the sender's.
    """
    query = select(InboundEvent)
    if state is not None:
        query = query.where(InboundEvent.state == state)
    if source is not None:
        query = query.where(InboundEvent.source == source)
    if event_id is not None:
        sources = session.scalars(_ALL_SOURCES).all() if source is None else [source]
        query = query.where(InboundEvent.source.in_(sources), InboundEvent.event_id == event_id)
    for column, sought in (("lead_id", lead), ("account_ref", account)):
        if sought is not None:
            values = {column: sought.value, f"{column}_spellings": list(sought.spellings)}
            query = query.where(
                text(_ABOUT.format(column=column, read=_READ[column])).bindparams(**values)
            )
    return read_page(
        session,
        query,
        wanted,
        by=[InboundEvent.id],
        time=InboundEvent.received_at,
        scalars=True,
    )


def find(session: Session, name: str) -> Sequence[InboundEvent]:
    """Return the row whose number `name` is, else the rows whose sender's id it is, at most 20."""
    if name.isascii() and name.isdecimal() and int(name) < 2**63:
        row = session.get(InboundEvent, int(name))
        if row is not None:
            return [row]
    return newest(session, Wanted(20), event_id=name).rows

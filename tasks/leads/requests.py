"""Leads that the API is asked to charge (`POST /v1/leads`): the inbox row of each, and its handler.

The row has the form of a lead event, so that one handler reads, charges and refuses the leads of
all doors. It also names who asked, for the ledger.
"""

import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from billing.leads import LeadRequest
from db import deliveries
from db.deliveries import NewEvent
from db.inbox import LeasedEvent
from tasks.inbox.handler import BatchOutcome
from tasks.leads import events as lead_events
from tasks.plumbing import nudges

SOURCE = "api_leads"
ACTOR = "api:leads"
"""Of what a batch does as a whole; each charge is by the caller who asked for it."""


def record(
    session: Session, request: LeadRequest, *, event_id: str, actor: str, at: datetime
) -> None:
    """Record a lead to charge, asked for by `actor` at `at`.

    `event_id`: the name of the API's request. Nothing is charged here: call `nudge` after the
    commit.
    """
    data = request.model_dump(mode="json", exclude_none=True)
    content = {"type": lead_events.LEAD_CREATED, "actor": actor, "data": data}
    deliveries.record(session, [NewEvent(SOURCE, event_id, json.dumps(content).encode(), at)])


def nudge() -> None:
    """Have a worker look at what was recorded, at once if Redis can be reached; never raises."""
    nudges.send_in_background(SOURCE)


def handle(session: Session, events: Sequence[LeasedEvent]) -> BatchOutcome:
    """Charge the leads of one batch, each for the caller who asked for it."""
    return lead_events.handle(
        session, events, actor=ACTOR, door="api", form=lead_events.LeadAskedFor
    )

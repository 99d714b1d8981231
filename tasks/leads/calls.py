"""Calls of `tasks.leads.*` as inbox rows, and those rows' handler.

A call becomes one row per lead, in the form of a lead event, so that one handler reads, charges
and refuses both. The body depends on the call alone: a message that is delivered twice, or
recovered from its copy, is the same delivery.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from db.inbox import LeasedEvent
from tasks.inbox import call_rows
from tasks.inbox.call_rows import CallRows, Refusal
from tasks.inbox.handler import BatchOutcome
from tasks.leads import events as lead_events

SOURCE = "lead_calls"
ACTOR = "celery:leads"

MAX_LEADS = 10_000
"""Most leads in one call."""

PARAMETERS = {
    "tasks.leads.charge": ("lead_id", "account", "package_price_paise", "source", "occurred_at"),
    "tasks.leads.charge_many": ("leads",),
}
"""Name of each task that can be called -> the names of its arguments in order."""

_TYPE = {"type": lead_events.LEAD_CREATED}


def read(task: str, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> CallRows:
    """Return the rows of a call of `task`, one of `PARAMETERS`. Never raises for what was sent."""
    event_id, rows = call_rows.event_id_of(task_id), CallRows()
    try:
        given = call_rows.bind_arguments(PARAMETERS[task], args, kwargs)
        if task == "tasks.leads.charge":
            _add_lead(rows, event_id, {**_TYPE, "data": given})
        else:
            for index, lead in enumerate(_leads_of(given)):
                _add_lead(rows, f"{event_id}:{index}", {**_TYPE, "index": index, "data": lead})
    except Refusal as refusal:
        call = {**_TYPE, "call": {"task": task, "args": args, "kwargs": kwargs}}
        rows.refused.append(
            call_rows.refused_call(SOURCE, event_id, call, refusal, parameters=PARAMETERS)
        )
    return rows


def handle(session: Session, events: Sequence[LeasedEvent]) -> BatchOutcome:
    """Charge the leads of one batch; the error of a dead row names its place in the call."""
    return lead_events.handle(
        session,
        events,
        actor=ACTOR,
        door="celery",
        form=lead_events.LeadCall,
        place_of=_place_of,
        parameters=PARAMETERS,
    )


def _leads_of(given: Mapping[str, Any]) -> list[Any]:
    leads = given.get("leads")
    if not isinstance(leads, list):
        raise Refusal("leads: must be a list of leads")
    if len(leads) > MAX_LEADS:
        raise Refusal(f"leads: {len(leads)} leads in one call; at most {MAX_LEADS}")
    return leads


def _add_lead(rows: CallRows, event_id: str, content: dict[str, Any]) -> None:
    try:
        rows.events.append(call_rows.new_event(SOURCE, event_id, content))
    except Refusal as refusal:
        place = _place(content.get("index"))
        rows.refused.append(call_rows.refused_part(SOURCE, event_id, content, refusal, place=place))


def _place_of(event: LeasedEvent) -> str:
    try:
        return _place(json.loads(event.body).get("index"))
    except (ValueError, AttributeError, RecursionError):
        return ""  # not a body that was written here


def _place(index: object) -> str:
    return f"lead {index} of the call: " if type(index) is int else ""

"""Calls of `tasks.leads.*` as inbox rows, and those rows' handler.

A call becomes one row for each lead, in the form of a lead event, so that it is read, retried,
refused and charged by what does so for the webhook's. The body depends on the call alone: a
message that is delivered twice, or found again as a copy, is the same delivery.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

import clock
from billing.text import ID_MAX_LENGTH, problem_with
from db.inbox import Finished, LeasedEvent, NewEvent
from tasks import lead_events
from tasks.handling import Handled

SOURCE = "lead_calls"
ACTOR = "celery:leads"

MAX_LEADS = 10_000
"""Most leads of one call."""
MAX_BODY_BYTES = 1024 * 1024
"""Largest body of one lead, as large as the receiver takes."""
MAX_CALL_BYTES = 16 * 1024 * 1024
"""Up to this size a refused call is kept whole, for whoever looks into its row."""

PARAMETERS = {
    "tasks.leads.charge": ("lead_id", "account", "package_price_paise", "source", "occurred_at"),
    "tasks.leads.charge_many": ("leads",),
}
"""The tasks that can be called, by name, with the names of their arguments in order."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What a call comes to: deliveries to work on, and what is refused at once."""

    events: list[NewEvent] = field(default_factory=list)
    refused: list[tuple[NewEvent, str]] = field(default_factory=list)


class _Refusal(Exception):
    """Why a call, or a lead of it, cannot be recorded for a handler; holds nothing of its own."""


def read(task: str, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Rows:
    """Return the rows of a call of `task`, one of `PARAMETERS`. Never raises for what was sent."""
    event_id, rows = event_id_of(task_id), Rows()
    try:
        given = _bound(PARAMETERS[task], args, kwargs)
        if task == "tasks.leads.charge":
            _add_lead(rows, event_id, {"data": given})
        else:
            for index, lead in enumerate(_leads_of(given)):
                _add_lead(rows, f"{event_id}:{index}", {"index": index, "data": lead})
    except _Refusal as refusal:
        call = {"call": {"task": task, "args": args, "kwargs": kwargs}}
        rows.refused.append((_dead(event_id, call, MAX_CALL_BYTES), f"RefusedCall: {refusal}"))
    return rows


def event_id_of(task_id: object) -> str:
    """Return the id of a call's rows: the task's own, where it is a text that can be kept."""
    text = str(task_id)
    if problem_with(text, max_length=ID_MAX_LENGTH) is None:
        return text
    return f"sha256:{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def handle(session: Session, events: Sequence[LeasedEvent]) -> Handled:
    """Charge the leads of one batch; what is refused names its place in the call."""
    handled = lead_events.handle(
        session, events, actor=ACTOR, door="celery", form=lead_events.LeadCall
    )
    ends = zip(events, handled.finished, strict=True)
    return replace(handled, finished=[_with_index(event, end) for event, end in ends])


def _bound(
    parameters: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments by name, in the order of `parameters`; a handler misses the missing."""
    if len(args) > len(parameters):
        raise _Refusal(f"{len(args)} arguments where {len(parameters)} are known")
    unknown = len(kwargs.keys() - set(parameters))
    if unknown:
        raise _Refusal(f"{unknown} unknown arguments; known are {', '.join(parameters)}")
    given = dict(zip(parameters, args, strict=False))
    for name in parameters:
        if name in kwargs:
            if name in given:
                raise _Refusal(f"{name}: given both by place and by name")
            given[name] = kwargs[name]
    return given


def _leads_of(given: Mapping[str, Any]) -> list[Any]:
    leads = given.get("leads")
    if not isinstance(leads, list):
        raise _Refusal("leads: must be a list of leads")
    if len(leads) > MAX_LEADS:
        raise _Refusal(f"leads: {len(leads)} leads in one call; at most {MAX_LEADS}")
    return leads


def _add_lead(rows: Rows, event_id: str, content: dict[str, Any]) -> None:
    try:
        rows.events.append(_event(event_id, _body(content, MAX_BODY_BYTES)))
    except _Refusal as refusal:
        # Without its data: read again, it is refused again.
        kept = _dead(event_id, {name: content[name] for name in content if name != "data"})
        rows.refused.append((kept, f"{_place(content.get('index'))}RefusedCall: {refusal}"))


def _dead(event_id: str, content: dict[str, Any], max_bytes: int = MAX_BODY_BYTES) -> NewEvent:
    try:
        return _event(event_id, _body(content, max_bytes))
    except _Refusal:
        return _event(event_id, _body({}, max_bytes))


def _event(event_id: str, body: bytes) -> NewEvent:
    return NewEvent(SOURCE, event_id, body, clock.now())


def _body(content: dict[str, Any], max_bytes: int) -> bytes:
    try:
        body = json.dumps({"type": lead_events.LEAD_CREATED, **content}, default=_plain).encode()
    except RecursionError:
        raise _Refusal("nested too deeply") from None
    except (TypeError, ValueError) as error:  # a number of more digits than Python writes
        raise _Refusal(f"cannot be written as JSON ({type(error).__name__})") from None
    if len(body) > max_bytes:
        raise _Refusal(f"{len(body)} bytes; at most {max_bytes}")
    return body


def _plain(value: object) -> object:
    """Return what JSON has no word for, as Celery's JSON lets it through: times and UUIDs."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    # A decimal, bytes: an object, which no field takes, so that the reason names the field.
    return {type(value).__name__: str(value)}


def _with_index(event: LeasedEvent, end: Finished) -> Finished:
    if end.state != "dead":
        return end
    try:
        place = _place(json.loads(event.body).get("index"))
    except (ValueError, AttributeError, RecursionError):
        place = ""  # no body that was written here
    return replace(end, error=f"{place}{end.error}") if place else end


def _place(index: object) -> str:
    return f"lead {index} of the call: " if type(index) is int else ""

"""Calls of `tasks.disputes.open` as inbox rows, and those rows' handler.

A call is one row, under its request_id if it has one: a caller that repeats the id and the content
changes nothing, whatever became of the first message. The id counts together with the account, so
that the ids of two accounts never collide.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session

from billing import audit, disputes
from billing.text import ID_MAX_LENGTH, validation_problems
from db.inbox import Finished, LeasedEvent
from errors import PermanentError
from service import request_ids
from service.disclosure import shown_error
from tasks.inbox import call_rows, subjects
from tasks.inbox.call_rows import CallRows, Refusal
from tasks.inbox.handler import BatchOutcome
from tasks.operator_lines import Line, created_line
from worker import redaction

SOURCE = "dispute_calls"
ACTOR = "celery:disputes"

TASK = "tasks.disputes.open"
PARAMETERS = ("lead_id", "account", "dispute_type", "description", "evidence", "request_id")
"""The names of its arguments in order."""

REQUESTED = "dispute.requested"
"""The type of the rows."""


class _Request(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    lead_id: str
    account: str
    dispute_type: str
    description: str
    evidence: Any = None
    request_id: str | None = Field(default=None, min_length=1, max_length=ID_MAX_LENGTH)


class _Call(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["dispute.requested"]
    data: _Request


def read(task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> CallRows:
    """Return the row of a call. Never raises for what was sent."""
    rows, event_id = CallRows(), call_rows.event_id_of(task_id)
    try:
        given = call_rows.bind_arguments(PARAMETERS, args, kwargs)
        event_id = _event_id(task_id, given)
        rows.events.append(
            call_rows.new_event(SOURCE, event_id, {"type": REQUESTED, "data": given})
        )
    except Refusal as refusal:
        call = {"type": REQUESTED, "call": {"task": TASK, "args": args, "kwargs": kwargs}}
        rows.refused.append(
            call_rows.refused_call(SOURCE, event_id, call, refusal, parameters={TASK: PARAMETERS})
        )
    return rows


def handle(session: Session, events: Sequence[LeasedEvent]) -> BatchOutcome:
    """Open the disputes of one batch; one that the rules refuse is dead and stops no other."""
    outcome = BatchOutcome(events)
    requests: list[tuple[LeasedEvent, _Request]] = []
    for event in events:
        try:
            requests.append((event, _Call.model_validate_json(event.body).data))
        except ValidationError as error:
            reason = f"UnreadableCall: {validation_problems(error)}"
            about = subjects.read(event.body, {TASK: PARAMETERS})
            outcome.finish(event, Finished("dead", error=reason, type=REQUESTED, subject=about))
    # By lead, so that two batches wait for each other's leads in one order.
    for event, request in sorted(requests, key=lambda entry: (entry[1].lead_id, entry[0].id)):
        with request_ids.bound(event.request_id):
            end, log_line = _open(session, request, event_id=event.event_id)
        outcome.finish(event, end, log_line=log_line)
    return outcome


def _event_id(task_id: str, given: Mapping[str, Any]) -> str:
    account, request_id = given.get("account"), given.get("request_id")
    if not (isinstance(account, str) and isinstance(request_id, str)):
        return call_rows.event_id_of(task_id)
    # Operators see it, so an id that could be a phone number or a name becomes a digest.
    return call_rows.event_id_of(f"{redaction.task_id(account)}:{redaction.task_id(request_id)}")


def _open(session: Session, request: _Request, *, event_id: str) -> tuple[Finished, Line | None]:
    fields = request.model_dump()
    about = subjects.find(fields)
    request_id = fields.pop("request_id")
    key = f"request:{request_id}" if request_id is not None else f"call:{event_id}"
    try:
        with audit.asked_by(ACTOR, door="celery"):
            opened = disputes.open_dispute(session, **fields, request_key=key, actor=ACTOR)
    except PermanentError as error:
        reason = shown_error(error)
        return Finished("dead", error=reason, type=REQUESTED, subject=about), None
    if opened.repeated:
        return Finished("done", outcome="repeated", type=REQUESTED, subject=about), None
    dispute = opened.dispute
    line = created_line(dispute.id, dispute.lead_id, dispute.type, account=request.account)
    return Finished("done", outcome="opened", type=REQUESTED, subject=about), line

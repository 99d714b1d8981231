"""Calls of `tasks.disputes.open` as inbox rows, and those rows' handler.

A call is one row, under its request_id where it has one: a caller that asks again with the same id
and content changes nothing, whatever became of the first message. The id is taken together with
the account, so that two accounts' ids never meet.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session

from billing import audit, disputes
from billing.text import ID_MAX_LENGTH
from db.inbox import Finished, LeasedEvent
from errors import PermanentError
from tasks.inbox import calls
from tasks.inbox.calls import Refusal, Rows
from tasks.inbox.handler import Handled
from tasks.operator_lines import created_line
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


def read(task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Rows:
    """Return the row of a call. Never raises for what was sent."""
    rows, event_id = Rows(), calls.event_id_of(task_id)
    try:
        given = calls.bound(PARAMETERS, args, kwargs)
        event_id = _event_id(task_id, given)
        rows.events.append(calls.event(SOURCE, event_id, {"type": REQUESTED, "data": given}))
    except Refusal as refusal:
        call = {"type": REQUESTED, "call": {"task": TASK, "args": args, "kwargs": kwargs}}
        rows.refused.append(calls.refused_call(SOURCE, event_id, call, refusal))
    return rows


def handle(session: Session, events: Sequence[LeasedEvent]) -> Handled:
    """Open the disputes of one batch; what the rules refuse is dead, and stops no other."""
    finished: list[Finished | None] = [None] * len(events)
    requests: list[tuple[int, _Request]] = []
    for i, event in enumerate(events):
        try:
            requests.append((i, _Call.model_validate_json(event.body).data))
        except ValidationError as error:
            finished[i] = Finished("dead", error=calls.unreadable(error), type=REQUESTED)
    log_lines: dict[int, str] = {}
    # By lead, so that two batches wait for each other's leads in one order.
    for i, request in sorted(requests, key=lambda entry: (entry[1].lead_id, entry[0])):
        finished[i], line = _open(session, request, event_id=events[i].event_id)
        if line is not None:
            log_lines[i] = line
    return Handled(
        [end for end in finished if end is not None], [log_lines[i] for i in sorted(log_lines)]
    )


def _event_id(task_id: str, given: Mapping[str, Any]) -> str:
    account, request_id = given.get("account"), given.get("request_id")
    if not (isinstance(account, str) and isinstance(request_id, str)):
        return calls.event_id_of(task_id)
    # Operators see it: an id that could be a phone number or a name is in it as a digest.
    return calls.event_id_of(f"{redaction.task_id(account)}:{redaction.task_id(request_id)}")


def _open(session: Session, request: _Request, *, event_id: str) -> tuple[Finished, str | None]:
    fields = request.model_dump()
    request_id = fields.pop("request_id")
    key = f"request:{request_id}" if request_id is not None else f"call:{event_id}"
    try:
        with audit.asked_by(ACTOR, door="celery"):
            opened = disputes.open_dispute(session, **fields, request_key=key, actor=ACTOR)
    except PermanentError as error:
        reason = f"{type(error).__name__}: {error}"
        return Finished("dead", error=reason, type=REQUESTED), None
    if opened.repeated:
        return Finished("done", outcome="repeated", type=REQUESTED), None
    line = created_line(opened.dispute.lead_id, opened.dispute.type)
    return Finished("done", outcome="opened", type=REQUESTED), line

"""The handler of lead events from both doors: read each body strictly, charge, end each row."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session

from billing import audit
from billing.audit import Door
from billing.leads import EventTime, LeadRequest, LeadState, charge_leads
from billing.text import ID_MAX_LENGTH, REF_MAX_LENGTH, problem_with, validation_problems
from db.inbox import Finished, LeasedEvent
from service.disclosure import shown_error
from tasks.inbox import clock_skew
from tasks.inbox.handler import BatchOutcome
from tasks.operator_lines import deduction_line

LEAD_CREATED = "lead.created"


class LeadCreated(BaseModel):
    """A lead event as senders write it; unknown fields are ignored, wrong types refused."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["lead.created"]
    timestamp: EventTime
    data: LeadRequest


class LeadCall(BaseModel):
    """A lead event that we wrote for a call; its time is that of its row."""

    model_config = LeadCreated.model_config

    type: Literal["lead.created"]
    timestamp: EventTime | None = None
    data: LeadRequest


class _About(TypedDict, total=False):
    lead_id: str
    account_ref: str


class _AnyEvent(BaseModel):
    type: Annotated[str, Field(max_length=100)]


def handle(
    session: Session,
    events: Sequence[LeasedEvent],
    *,
    actor: str,
    door: Door,
    form: type[LeadCreated | LeadCall] = LeadCreated,
    place_of: Callable[[LeasedEvent], str] = lambda _: "",
) -> BatchOutcome:
    """Charge the leads of one batch. An unreadable one is dead, one that is no lead is ignored.

    `place_of` returns what the error of a dead row begins with.
    """
    outcome = BatchOutcome(events)
    readable: list[LeasedEvent] = []
    requests: list[LeadRequest] = []
    times: list[tuple[datetime | None, datetime]] = []
    for event in events:
        try:
            lead = form.model_validate_json(event.body)
        except ValidationError as error:
            outcome.finish(event, _unreadable(event, error, place_of))
        else:
            readable.append(event)
            at = event.received_at
            requests.append(lead.data.happened_at(lead.timestamp or at, known_at=at))
            times.append((lead.data.occurred_at or lead.timestamp, at))
    clock_skew.report(session, door, times)
    with audit.asked_by(actor, door=door):
        results = charge_leads(session, requests, actor=actor)
    for event, request, result in zip(readable, requests, results, strict=True):
        if result.error is not None:
            reason = f"{place_of(event)}{shown_error(result.error)}"
            end = Finished("dead", error=reason, type=LEAD_CREATED, **_about(request))
            outcome.finish(event, end)
            continue
        charged = result.state is LeadState.CHARGED
        line = deduction_line(result.account, result.credits) if charged else None
        end = Finished("done", result.state.value, type=LEAD_CREATED, **_about(request))
        outcome.finish(event, end, log_line=line)
    return outcome


def _unreadable(
    event: LeasedEvent, error: ValidationError, place_of: Callable[[LeasedEvent], str]
) -> Finished:
    try:
        kind = _AnyEvent.model_validate_json(event.body).type
    except ValidationError:
        kind = None
    if kind is not None and kind != LEAD_CREATED and "\x00" not in kind:
        return Finished("ignored", outcome="not_a_lead", type=kind)
    reason = f"{place_of(event)}UnreadableEvent: {validation_problems(error)}"
    return Finished("dead", error=reason, type=kind, **_about_unreadable(event.body))


def _about(request: LeadRequest) -> _About:
    return {"lead_id": request.lead_id, "account_ref": request.account}


def _about_unreadable(body: bytes) -> _About:
    """Return what a lead that is refused is about, as far as that can be read and recorded."""
    try:
        data = json.loads(body)["data"]
        lead_id, account = data.get("lead_id"), data.get("account")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}
    if type(lead_id) is int:  # a usual mistake: the sender knows the lead by this number
        lead_id = str(lead_id) if abs(lead_id) < 10**18 else None
    about: _About = {}
    if problem_with(lead_id, max_length=ID_MAX_LENGTH) is None:
        about["lead_id"] = lead_id
    if problem_with(account, max_length=REF_MAX_LENGTH) is None:
        about["account_ref"] = account
    return about

"""The handler of lead events from all doors: read each body strictly, charge, end each row."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session

from billing import audit
from billing.audit import Door
from billing.leads import EventTime, LeadRequest, LeadResult, LeadState, charge_leads
from billing.text import KEY_MAX_LENGTH, validation_problems
from db.inbox import Finished, LeasedEvent, Subject
from service.disclosure import shown_error
from tasks.inbox import clock_skew, subjects
from tasks.inbox.handler import BatchOutcome
from tasks.operator_lines import Line, deduction_line

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


class LeadAskedFor(LeadCall):
    """A lead event that we wrote for a request to the API, which names its caller."""

    actor: Annotated[str, Field(min_length=1, max_length=KEY_MAX_LENGTH)]


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
    parameters: Mapping[str, Sequence[str]] | None = None,
) -> BatchOutcome:
    """Charge the leads of one batch. An unreadable one is dead, one that is no lead is ignored.

    `actor` asks for each lead whose row names nobody. `place_of` returns what the error of a dead
    row begins with. `parameters` are those of the source's tasks: a row may hold a whole call that
    was refused.
    """
    outcome = BatchOutcome(events)
    readable: list[LeasedEvent] = []
    requests: list[LeadRequest] = []
    actors: list[str] = []
    times: list[tuple[datetime | None, datetime]] = []
    for event in events:
        try:
            lead = form.model_validate_json(event.body)
        except ValidationError as error:
            outcome.finish(event, _unreadable(event, error, place_of, parameters))
        else:
            readable.append(event)
            at = event.received_at
            requests.append(lead.data.happened_at(lead.timestamp or at, known_at=at))
            actors.append(lead.actor if isinstance(lead, LeadAskedFor) else actor)
            times.append((lead.data.occurred_at or lead.timestamp, at))
    clock_skew.report(session, door, times)
    with audit.asked_by(actor, door=door):
        results = charge_leads(
            session, requests, actor=actors, request_ids=[event.request_id for event in readable]
        )
    for event, request, result in zip(readable, requests, results, strict=True):
        if result.error is not None:
            reason = f"{place_of(event)}{shown_error(result.error)}"
            end = Finished("dead", error=reason, type=LEAD_CREATED, subject=_about(request))
            outcome.finish(event, end)
            continue
        charged = result.state is LeadState.CHARGED
        line = _line(request, result, event) if charged else None
        end = Finished("done", result.state.value, type=LEAD_CREATED, subject=_about(request))
        outcome.finish(event, end, log_line=line)
    return outcome


def _unreadable(
    event: LeasedEvent,
    error: ValidationError,
    place_of: Callable[[LeasedEvent], str],
    parameters: Mapping[str, Sequence[str]] | None,
) -> Finished:
    about = subjects.read(event.body, parameters)
    try:
        kind = _AnyEvent.model_validate_json(event.body).type
    except ValidationError:
        kind = None
    if kind is not None and kind != LEAD_CREATED and "\x00" not in kind:
        return Finished("ignored", outcome="not_a_lead", type=kind, subject=about)
    reason = f"{place_of(event)}UnreadableEvent: {validation_problems(error)}"
    return Finished("dead", error=reason, type=kind, subject=about)


def _line(request: LeadRequest, result: LeadResult, event: LeasedEvent) -> Line:
    return deduction_line(
        result.account,
        result.credits,
        lead_id=request.lead_id,
        transaction_id=result.transaction_id,
        balance=result.balance,
        request_id=event.request_id,
    )


def _about(request: LeadRequest) -> Subject:
    return Subject(request.lead_id, request.account)

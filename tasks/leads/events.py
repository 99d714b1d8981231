"""Lead events of both doors: read the body strictly, charge the batch, end each row."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session

from billing import audit
from billing.audit import Door
from billing.leads import EventTime, LeadRequest, LeadResult, LeadState, charge_leads
from db.inbox import Finished, LeasedEvent
from tasks.inbox.handler import Handled
from tasks.operator_lines import deduction_line

LEAD_CREATED = "lead.created"


class LeadCreated(BaseModel):
    """A lead event as senders write it; unknown fields are let through, wrong types are not."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["lead.created"]
    timestamp: EventTime
    data: LeadRequest


class LeadCall(BaseModel):
    """A lead event that we wrote ourselves for a call, which has no time but its row's."""

    model_config = LeadCreated.model_config

    type: Literal["lead.created"]
    timestamp: EventTime | None = None
    data: LeadRequest


class _AnyEvent(BaseModel):
    type: Annotated[str, Field(max_length=100)]


def handle(
    session: Session,
    events: Sequence[LeasedEvent],
    *,
    actor: str,
    door: Door,
    form: type[LeadCreated | LeadCall] = LeadCreated,
) -> Handled:
    """Charge the leads of one batch. What cannot be read is dead, what is not ours ignored."""
    finished: list[Finished | None] = [None] * len(events)
    positions: list[int] = []
    requests: list[LeadRequest] = []
    for i, event in enumerate(events):
        try:
            lead = form.model_validate_json(event.body)
        except ValidationError as error:
            finished[i] = _unreadable(event.body, error)
        else:
            positions.append(i)
            requests.append(lead.data.happened_at(lead.timestamp or event.received_at))
    log_lines = []
    with audit.asked_by(actor, door=door):
        results = charge_leads(session, requests, actor=actor)
    for i, result in zip(positions, results, strict=True):
        finished[i] = _finished(result)
        if result.state is LeadState.CHARGED:
            log_lines.append(deduction_line(result.account, result.credits))
    return Handled([end for end in finished if end is not None], log_lines)


def _finished(result: LeadResult) -> Finished:
    if result.state is LeadState.REFUSED:
        error = result.error
        return Finished("dead", error=f"{type(error).__name__}: {error}", type=LEAD_CREATED)
    return Finished("done", outcome=result.state.value, type=LEAD_CREATED)


def _unreadable(body: bytes, error: ValidationError) -> Finished:
    try:
        kind = _AnyEvent.model_validate_json(body).type
    except ValidationError:
        kind = None
    if kind is not None and kind != LEAD_CREATED and "\x00" not in kind:
        return Finished("ignored", outcome="not_a_lead", type=kind)
    # Without what the sender wrote: it may be personal data.
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    told = "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'body'}:"
        f" {problem['msg'].removeprefix('Value error, ')}"
        for problem in problems
    )
    return Finished("dead", error=f"UnreadableEvent: {told}", type=kind)

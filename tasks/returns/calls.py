"""Calls of `tasks.refunds.request` as inbox rows, and those rows' handler.

A call is one row, under its request_id if it has one, so that neither a redelivered message nor a
caller that asks again refunds twice. The row's handler records the refund. Later transactions
reserve its credit and record the gateway's answer.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session

from billing import audit
from billing.payments import queries
from billing.returns import refunds
from billing.text import ID_MAX_LENGTH, identity, recordable, validation_problems
from db.inbox import Finished, LeasedEvent, Subject
from errors import PermanentError
from service import request_ids
from service.disclosure import shown_error
from tasks.inbox import call_rows
from tasks.inbox.call_rows import CallRows, Refusal
from tasks.inbox.handler import BatchOutcome
from tasks.plumbing import nudges
from worker import redaction

SOURCE = "refund_calls"
ACTOR = "celery:refunds"

TASK = "tasks.refunds.request"
PARAMETERS = ("payment_id", "reason", "requested_by", "amount_paise", "request_id")
"""The names of its arguments in order."""

REQUESTED = "refund.requested"
"""The type of the rows."""


# PostgreSQL cannot look for every text: a row with one that it refuses would be dead for that.
_Known = Annotated[str, Field(min_length=1, max_length=ID_MAX_LENGTH), recordable(ID_MAX_LENGTH)]
_New = Annotated[str, Field(min_length=1, max_length=ID_MAX_LENGTH), identity(ID_MAX_LENGTH)]


class _Request(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    payment_id: _Known
    reason: str
    requested_by: _New
    amount_paise: Annotated[int, Field(ge=1)] | None = None
    request_id: _New | None = None


class _Call(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["refund.requested"]
    data: _Request


def read(task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> CallRows:
    """Return the row of a call. Never raises for what was sent."""
    rows, event_id = CallRows(), call_rows.event_id_of(task_id)
    try:
        given = call_rows.bind_arguments(PARAMETERS, args, kwargs)
        if isinstance(given.get("request_id"), str):
            # Operators see it, so an id that could be a name or a number becomes a digest.
            event_id = call_rows.event_id_of(f"request:{redaction.task_id(given['request_id'])}")
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
    """Record the refunds of one batch; one that the rules refuse is dead and stops no other."""
    outcome = BatchOutcome(events)
    requests: list[tuple[LeasedEvent, _Request]] = []
    for event in events:
        try:
            requests.append((event, _Call.model_validate_json(event.body).data))
        except ValidationError as error:
            reason = f"UnreadableCall: {validation_problems(error)}"
            outcome.finish(event, Finished("dead", error=reason, type=REQUESTED))
    # By payment, so that two batches wait for each other's payments in one order.
    for event, request in sorted(requests, key=lambda entry: (entry[1].payment_id, entry[0].id)):
        with request_ids.bound(event.request_id):
            outcome.finish(event, _request(session, request, event_id=event.event_id))
    outcome.afterwards = nudges.send_refunds
    return outcome


def _request(session: Session, request: _Request, *, event_id: str) -> Finished:
    by_id = request.request_id is not None
    key = f"request:{request.request_id}" if by_id else f"call:{event_id}"
    # A call names a payment; people ask for what is about an account.
    about = Subject(account_ref=queries.find_account_by_payment_id(session, request.payment_id))
    try:
        with audit.asked_by(ACTOR, door="celery"):
            _, is_new = refunds.request(
                session,
                payment_id=request.payment_id,
                amount_paise=request.amount_paise,
                reason=request.reason,
                actor=f"{ACTOR}:{request.requested_by}"[:ID_MAX_LENGTH],
                request_key=key,
                reserve=False,
            )
    except PermanentError as error:
        reason = shown_error(error)
        return Finished("dead", error=reason, type=REQUESTED, subject=about)
    outcome = "requested" if is_new else "repeated"
    return Finished("done", outcome=outcome, type=REQUESTED, subject=about)

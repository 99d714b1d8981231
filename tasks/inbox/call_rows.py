"""Calls of tasks as inbox rows: the arguments by name, and the body of the row.

For the tasks that any Celery app may call (`calls.py` of leads, disputes and returns). The
arguments may be anything: only `Refusal` is raised here, and its text repeats nothing of them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import clock
from billing.text import ID_MAX_LENGTH, problem_with_identity
from db.deliveries import NewEvent, RefusedEvent
from db.inbox import Subject
from tasks.inbox import subjects

MAX_BODY_BYTES = 1024 * 1024
"""Largest body of one row; the receiver accepts as much."""
MAX_CALL_BYTES = 16 * 1024 * 1024
"""Up to this size a refused call is kept whole, for whoever inspects its row."""


@dataclass(frozen=True, slots=True)
class CallRows:
    """The rows of a call: deliveries to work on, and those refused at once with the reason."""

    events: list[NewEvent] = field(default_factory=list)
    refused: list[RefusedEvent] = field(default_factory=list)


class Refusal(Exception):
    """Why a call, or a part of it, cannot be recorded for a handler; repeats nothing of it."""


def event_id_of(task_id: object) -> str:
    """Return the id of a call's rows: the task's own, or its digest if that cannot be recorded."""
    text = str(task_id)
    if problem_with_identity(text, max_length=ID_MAX_LENGTH) is None:
        return text
    return f"sha256:{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def bind_arguments(
    parameters: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments by name, in the order of `parameters`; raises `Refusal`.

    A missing argument is left to the handler.
    """
    if len(args) > len(parameters):
        raise Refusal(f"{len(args)} arguments; at most {len(parameters)}")
    unknown = len(kwargs.keys() - set(parameters))
    if unknown:
        raise Refusal(f"{unknown} unknown arguments; known are {', '.join(parameters)}")
    given = dict(zip(parameters, args, strict=False))
    for name in parameters:
        if name in kwargs:
            if name in given:
                raise Refusal(f"{name}: given both by position and by name")
            given[name] = kwargs[name]
    return given


def new_event(
    source: str, event_id: str, content: Mapping[str, Any], max_bytes: int = MAX_BODY_BYTES
) -> NewEvent:
    """Return the row of a call's `content`, which begins with its type; raises `Refusal`."""
    return NewEvent(source, event_id, _body(content, max_bytes), clock.now())


def refused_call(
    source: str,
    event_id: str,
    content: Mapping[str, Any],
    refusal: Refusal,
    *,
    parameters: Mapping[str, Sequence[str]],
) -> RefusedEvent:
    """Return the dead row of a whole call, with the reason.

    Its body is the content: its type, and the `call` of one of the tasks in `parameters`. If that
    is too large, or cannot be written, the body is as that of `refused_part`.
    """
    about = subjects.find(content, parameters)
    try:
        event = new_event(source, event_id, content, MAX_CALL_BYTES)
    except Refusal:
        event = new_event(source, event_id, _what_it_is_about(content, about))
    return RefusedEvent(event, f"RefusedCall: {refusal}", content["type"], about)


def refused_part(
    source: str, event_id: str, content: Mapping[str, Any], refusal: Refusal, *, place: str
) -> RefusedEvent:
    """Return the dead row of one part of a call, such as a lead; `place` says which.

    Its body holds no more than what it is about, which is too little for a handler: replayed, it is
    refused again.
    """
    about = subjects.find(content)
    event = new_event(source, event_id, _what_it_is_about(content, about))
    return RefusedEvent(event, f"{place}RefusedCall: {refusal}", content["type"], about)


def _what_it_is_about(content: Mapping[str, Any], about: Subject) -> dict[str, Any]:
    rest = {name: content[name] for name in content if name not in {"call", "data"}}
    known = {"lead_id": about.lead_id, "account": about.account_ref}
    data = {name: value for name, value in known.items() if value is not None}
    return {**rest, "data": data} if data else rest


def _body(content: Mapping[str, Any], max_bytes: int) -> bytes:
    try:
        body = json.dumps(content, default=_plain).encode()
    except RecursionError:
        raise Refusal("nested too deeply") from None
    except (TypeError, ValueError) as error:  # a number of more digits than Python writes
        raise Refusal(f"cannot be written as JSON ({type(error).__name__})") from None
    if len(body) > max_bytes:
        raise Refusal(f"{len(body)} bytes; at most {max_bytes}")
    return body


def _plain(value: object) -> object:
    """Return what JSON has no form for, as Celery's JSON lets it through: times and UUIDs."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    # A decimal, bytes: an object, which no field accepts, so that the reason names the field.
    return {type(value).__name__: str(value)}

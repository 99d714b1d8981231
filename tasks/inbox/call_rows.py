"""Calls of tasks by name, as inbox rows: binding the arguments, and writing the body.

For the doors that any Celery app may call (`tasks/leads/calls.py`, `tasks/disputes/calls.py`). What
was sent may be anything: nothing here raises but `Refusal`, whose text repeats nothing of it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import clock
from billing.text import ID_MAX_LENGTH, problem_with
from db.inbox import NewEvent

MAX_BODY_BYTES = 1024 * 1024
"""Largest body of one row, as large as the receiver takes."""
MAX_CALL_BYTES = 16 * 1024 * 1024
"""Up to this size a refused call is kept whole, for whoever looks into its row."""


@dataclass(frozen=True, slots=True)
class CallRows:
    """What a call comes to: deliveries to work on, and what is refused at once."""

    events: list[NewEvent] = field(default_factory=list)
    refused: list[tuple[NewEvent, str]] = field(default_factory=list)


class Refusal(Exception):
    """Why a call, or a part of it, cannot be recorded for a handler; holds nothing of its own."""


def event_id_of(task_id: object) -> str:
    """Return the id of a call's rows: the task's own, where it is a text that can be kept."""
    text = str(task_id)
    if problem_with(text, max_length=ID_MAX_LENGTH) is None:
        return text
    return f"sha256:{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def bind_arguments(
    parameters: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments by name, in the order of `parameters`; a handler misses the missing.

    Raises `Refusal`.
    """
    if len(args) > len(parameters):
        raise Refusal(f"{len(args)} arguments where {len(parameters)} are known")
    unknown = len(kwargs.keys() - set(parameters))
    if unknown:
        raise Refusal(f"{unknown} unknown arguments; known are {', '.join(parameters)}")
    given = dict(zip(parameters, args, strict=False))
    for name in parameters:
        if name in kwargs:
            if name in given:
                raise Refusal(f"{name}: given both by place and by name")
            given[name] = kwargs[name]
    return given


def new_event(
    source: str, event_id: str, content: Mapping[str, Any], max_bytes: int = MAX_BODY_BYTES
) -> NewEvent:
    """Return the row of a call's `content`, which begins with its type; raises `Refusal`."""
    return NewEvent(source, event_id, _body(content, max_bytes), clock.now())


def refused_call(
    source: str, event_id: str, content: Mapping[str, Any], refusal: Refusal
) -> tuple[NewEvent, str]:
    """Return a whole call as a dead row with its reason; where it is too large, without it."""
    return dead_event(source, event_id, content, MAX_CALL_BYTES), f"RefusedCall: {refusal}"


def dead_event(
    source: str, event_id: str, content: Mapping[str, Any], max_bytes: int = MAX_BODY_BYTES
) -> NewEvent:
    """Return the row of what was refused; of what cannot be written, only the type."""
    try:
        return new_event(source, event_id, content, max_bytes)
    except Refusal:
        return new_event(source, event_id, {"type": content["type"]}, max_bytes)


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
    """Return what JSON has no word for, as Celery's JSON lets it through: times and UUIDs."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    # A decimal, bytes: an object, which no field takes, so that the reason names the field.
    return {type(value).__name__: str(value)}

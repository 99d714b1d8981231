"""An event of any gateway in our words, and the strict reading of its body."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from billing.payments import PaymentFacts
from billing.returns import DisputeFacts, RefundFacts
from billing.text import problem_with
from errors import PermanentError

TYPE_MAX_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as far as it concerns us."""

    type: str | None
    """The gateway's name for it; None if it has none that can be recorded."""
    payment: PaymentFacts | None
    """What it says of a payment; None if it is about none, or unreliable."""
    refund: RefundFacts | None = None
    dispute: DisputeFacts | None = None


class UnreadableEvent(PermanentError):
    """The body is properly signed but cannot be read as an event; `place` names the part.

    The message repeats nothing of the body: it may be personal data.
    """

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place} {problem}")
        self.place = place


def read_object(body: bytes) -> Mapping[str, object]:
    """Return the JSON object that `body` is; raises `UnreadableEvent`."""
    try:
        content = json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise UnreadableEvent("the body", "is nested too deeply") from None
    except ValueError:  # not UTF-8, no JSON, a number of thousands of digits, NaN
        raise UnreadableEvent("the body", "is not JSON") from None
    if not isinstance(content, dict):
        raise UnreadableEvent("the body", "must be a JSON object")
    return content


def object_at(parent: Mapping[str, object], name: str, place: str) -> Mapping[str, object]:
    """Return the object under `name`; raises `UnreadableEvent`, which calls it `place`."""
    value = parent.get(name)
    if not isinstance(value, dict):
        raise UnreadableEvent(place, "must be a JSON object")
    return value


def name_of_type(value: object) -> str | None:
    """Return the type of an event if it can be kept, else None."""
    if isinstance(value, str) and problem_with(value, max_length=TYPE_MAX_LENGTH) is None:
        return value
    return None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)

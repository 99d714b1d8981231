"""What a delivery is about, as far as its content says: operators and the API look for it by that.

For content of any form: what was refused before it was understood names its lead too.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from billing.text import ID_MAX_LENGTH, REF_MAX_LENGTH, problem_with
from db.inbox import NOTHING_KNOWN, Subject


def read(body: bytes, parameters: Mapping[str, Sequence[str]] | None = None) -> Subject:
    """Return what the body of a row is about; see `find`."""
    try:
        return find(json.loads(body), parameters)
    except (ValueError, RecursionError):
        return NOTHING_KNOWN


def find(content: object, parameters: Mapping[str, Sequence[str]] | None = None) -> Subject:
    """Return what an event, or a call that was refused, is about.

    `parameters`: name of each task of the source -> the names of its arguments in order. Of what
    cannot be recorded, or is said in two ways, nothing is returned.
    """
    if not isinstance(content, Mapping):
        return NOTHING_KNOWN
    for fields in _places(content, parameters or {}):
        found = Subject(
            _recordable(_id(fields.get("lead_id")), ID_MAX_LENGTH),
            _recordable(fields.get("account"), REF_MAX_LENGTH),
        )
        if found != NOTHING_KNOWN:
            return found
    return NOTHING_KNOWN


def _places(
    content: Mapping[str, Any], parameters: Mapping[str, Sequence[str]]
) -> Sequence[Mapping[str, Any]]:
    """Return the objects of a content in which the fields may stand, the best first."""
    places = [content.get("data"), _arguments(content.get("call"), parameters), content]
    return [place for place in places if isinstance(place, Mapping)]


def _arguments(call: object, parameters: Mapping[str, Sequence[str]]) -> Mapping[str, Any] | None:
    """Return a call's arguments by name, or those of its only lead; one given twice is left out."""
    if not isinstance(call, Mapping):
        return None
    names = parameters.get(str(call.get("task")), ())
    args, kwargs = call.get("args"), call.get("kwargs")
    given = dict(kwargs) if isinstance(kwargs, Mapping) else {}
    for name, value in zip(names, args if isinstance(args, list | tuple) else (), strict=False):
        if name not in given:
            given[name] = value
        elif not isinstance(value, str) or given[name] != value:
            del given[name]
    leads = given.get("leads")
    if isinstance(leads, list | tuple) and len(leads) == 1:
        leads = leads[0]
    return leads if isinstance(leads, Mapping) else given


def _id(value: object) -> object:
    # A usual mistake: the sender knows the lead by a number.
    if type(value) is int and abs(value) < 10**18:
        return str(value)
    return value


def _recordable(value: object, max_length: int) -> str | None:
    if isinstance(value, str) and problem_with(value, max_length=max_length) is None:
        return value
    return None

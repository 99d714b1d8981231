"""Request bodies: `line_items[0][price_data][unit_amount]=5000`, read into nested dicts."""

import re
from typing import Any

from flask import request

from devstack.simulator.stripe.errors import ApiError

PART = re.compile(r"[^\[\]]+")


def read() -> dict[str, Any]:
    """Return the body; all values are text, and lists are dicts of numbers, as they were sent."""
    found: dict[str, Any] = {}
    for key, value in request.form.items(multi=True):
        *path, last = PART.findall(key)
        place = found
        for part in path:
            place = place.setdefault(part, {})
        if key.endswith("[]"):
            place = place.setdefault(last, {})
            last = str(len(place))
        place[last] = value
    return found


def number(body: dict[str, Any], name: str, *, param: str | None = None) -> int | None:
    """Return a whole number of the body; None if it is not there."""
    value = body.get(name)
    if value is None or value == "":
        return None
    try:
        return int(value)
    except ValueError:
        raise ApiError(
            f"Invalid integer: {value}", code="parameter_invalid_integer", param=param or name
        ) from None


def require(body: dict[str, Any], name: str, *, param: str | None = None) -> Any:
    """Return a field that must be there."""
    if not body.get(name):
        raise ApiError(
            f"Missing required param: {param or name}.", code="parameter_missing",
            param=param or name,
        )  # fmt: skip
    return body[name]


def metadata(body: dict[str, Any]) -> dict[str, str]:
    """Return the metadata: at most 50 pairs of text."""
    value = body.get("metadata") or {}
    if not isinstance(value, dict):
        raise ApiError("Invalid object", param="metadata")
    if len(value) > 50:
        raise ApiError("You can have up to 50 metadata keys", param="metadata")
    return {key: str(text) for key, text in value.items() if text != ""}

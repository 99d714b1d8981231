"""Collections: pages of at most 100, newest first, filtered by the time of making."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import request

from devstack.simulator.razorpay.errors import ApiError
from devstack.simulator.razorpay.store import Entity

EARLIEST, LATEST = 946684800, 4765046400
DEFAULT_COUNT, MOST = 10, 100


def page(entities: Iterable[Entity], show: Callable[[Entity], Entity]) -> dict[str, Any]:
    """Return the page that the query asks for; `count` is the number of items in it."""
    first, last = _time("from", EARLIEST), _time("to", LATEST)
    count, skip = _number("count", DEFAULT_COUNT), _number("skip", 0)
    if count < 1:
        raise ApiError("The count must be at least 1.", field="count")
    if count > MOST:
        raise ApiError("The count may not be greater than 100.", field="count")
    if skip < 0:
        raise ApiError("The skip must be at least 0.", field="skip")
    found = [entity for entity in entities if first <= entity["created_at"] <= last]
    return collection([show(entity) for entity in found[::-1][skip : skip + count]])


def collection(items: list[Entity]) -> dict[str, Any]:
    """Return a collection of all `items`."""
    return {"entity": "collection", "count": len(items), "items": items}


def expansions() -> set[str]:
    """Return what `expand[]` asks to be shown instead of its id."""
    return set(request.args.getlist("expand[]"))


def _time(name: str, default: int) -> int:
    value = _number(name, default)
    if not EARLIEST <= value <= LATEST:
        raise ApiError(f"{name} must be between {EARLIEST} and {LATEST}", field=name)
    return value


def _number(name: str, default: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError:
        raise ApiError(f"The {name} must be an integer.", field=name) from None

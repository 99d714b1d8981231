"""Lists: newest first, `limit`, and cursors by id."""

import operator
from collections.abc import Callable, Iterable
from typing import Any

from flask import request

from devstack.simulator.stripe.errors import ApiError
from devstack.simulator.stripe.store import Entity

DEFAULT, MOST = 10, 100
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "created": operator.eq, "created[gt]": operator.gt, "created[gte]": operator.ge,
    "created[lt]": operator.lt, "created[lte]": operator.le,
}  # fmt: skip


def page(entities: Iterable[Entity], url: str, **filters: str | None) -> dict[str, Any]:
    """Return the page that the query asks for; a filter that is None lets all through."""
    limit = request.args.get("limit", DEFAULT, type=int)
    if not 1 <= limit <= MOST:
        raise ApiError(
            f"This value must be between 1 and {MOST} (inclusive).", param="limit",
            code="parameter_invalid_integer",
        )  # fmt: skip
    found = [
        entity
        for entity in list(entities)[::-1]
        if all(value is None or entity.get(name) == value for name, value in filters.items())
        and _made_when_asked(entity)
    ]
    after, before = request.args.get("starting_after"), request.args.get("ending_before")
    if after:
        found = found[_position(found, after) + 1 :]
    if before:
        newer = found[: _position(found, before)]
        shown, more = newer[-limit:], len(newer) > limit
    else:
        shown, more = found[:limit], len(found) > limit
    return {"object": "list", "data": shown, "has_more": more, "url": url}


def _made_when_asked(entity: Entity) -> bool:
    """Tell whether an entity fits `created[gte]` and its like."""
    asked = {name: request.args.get(name, type=int) for name in COMPARISONS}
    return all(
        compare(entity["created"], asked[name])
        for name, compare in COMPARISONS.items()
        if asked[name] is not None
    )


def _position(found: list[Entity], entity_id: str) -> int:
    for position, entity in enumerate(found):
        if entity["id"] == entity_id:
            return position
    raise ApiError(f"No such object: '{entity_id}'", code="resource_missing")

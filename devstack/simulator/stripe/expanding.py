"""`expand[]`: an object instead of its id, as deep as the path says."""

from typing import Any

from flask import request

from devstack.simulator.stripe.errors import ApiError
from devstack.simulator.stripe.store import Entity
from devstack.simulator.world import World

KINDS = {"payment_intent": "intents", "latest_charge": "charges", "charge": "charges"}
"""Field that holds an id -> where the store keeps the objects."""


def as_asked(world: World, entity: Entity) -> Entity:
    """Return an object with what the query's `expand[0]=a.b` asks for; raises `ApiError`."""
    for name, path in request.args.items(multi=True):
        if name.startswith("expand["):
            entity = _expanded(world, entity, path.split("."))
    return entity


def _expanded(world: World, entity: Entity, path: list[str]) -> Entity:
    name, *rest = path
    if name not in KINDS or name not in entity:
        raise ApiError(f"This property cannot be expanded ({name}).")
    inner: Any = entity[name]
    if isinstance(inner, str):
        inner = getattr(world.stripe, KINDS[name])[inner]
    if inner is not None and rest:
        inner = _expanded(world, inner, rest)
    return entity | {name: inner}

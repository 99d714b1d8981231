"""What the catalogue says of one topic, and how a model of its data becomes a JSON Schema."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field


class Audience(StrEnum):
    """Who a notice is for."""

    PLATFORM = "platform"
    """Endpoints of a product or an account, and `GET /v1/events`."""
    CUSTOMER = "customer"
    """The contacts of the account, by e-mail."""
    OPERATOR = "operator"
    """Those who run this system: by e-mail, and in `billing status`."""


class Data(BaseModel):
    """The `data` of a notice."""

    account: Annotated[
        str | None, Field(description="reference of the account; null: it is about none")
    ]
    sequence: Annotated[
        int | None,
        Field(
            ge=1,
            description="as in every notice; null if it is about no account that is known",
        ),
    ]


class AccountData(Data):
    """The `data` of a notice about an account."""

    account: Annotated[str, Field(description="reference of the account")]
    sequence: Annotated[
        int,
        Field(
            ge=1,
            description="counts the account's notices of all topics: 1, 2, 3 and so on. A gap is"
            " usual: some are not for you, or you did not ask for them",
        ),
    ]


@dataclass(frozen=True, slots=True)
class Entry:
    """One topic of the catalogue."""

    description: str
    """When it happens, in a sentence or two."""
    audiences: frozenset[Audience]
    why: str
    """Why these audiences, and why it is opt-in if it is."""
    high_volume: bool
    """Only who names the topic gets it: `*` and `lead.*` leave it out."""
    schema: Mapping[str, Any]
    """JSON Schema (2020-12) of `data`. Fields it does not name are allowed: they may come later."""
    example: Mapping[str, Any]
    """A `data`."""
    fields: tuple[str, ...]
    """The names of the fields, in the order in which they are sent."""


def entry(
    model: type[Data],
    description: str,
    *audiences: Audience,
    why: str,
    example: Mapping[str, Any],
    high_volume: bool = False,
) -> Entry:
    """Return the entry of a topic whose `data` is of `model`.

    `example` has the model's own fields; that of an account need not name the account.
    """
    fields = (*_NOBODY, *(name for name in model.model_fields if name not in _NOBODY))
    whose = _SOMEBODY if issubclass(model, AccountData) else _NOBODY
    whole = {**whose, **example}
    return Entry(
        description=description,
        audiences=frozenset(audiences),
        why=why,
        high_volume=high_volume,
        schema=schema_of(model, fields),
        example={name: whole[name] for name in fields},
        fields=fields,
    )


_SOMEBODY = {"account": "clinic:42", "sequence": 17}
_NOBODY = {"account": None, "sequence": None}


def schema_of(model: type[Data], fields: tuple[str, ...]) -> dict[str, Any]:
    """Return the JSON Schema of a model as people read it, `fields` in their order."""
    made = model.model_json_schema()
    properties = {name: _plain(made["properties"][name]) for name in fields}
    return {"type": "object", "properties": properties, "required": list(fields)}


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a field without its title, and `or null` as a second type."""
    plain = {name: value for name, value in schema.items() if name not in {"title", "anyOf"}}
    match schema.get("anyOf"):
        case None:
            return {"type": plain["type"], **plain}
        case [{"type": _} as one, {"type": "null"}]:
            return {**one, "type": [one["type"], "null"], **plain}
        case other:
            raise TypeError(f"a field of a notice is a plain value or null, not {other}")

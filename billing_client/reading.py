"""Reads the JSON of an answer into a result, by the types of the result's fields.

What a result does not have is ignored, so that a newer server may say more. What it needs and does
not find, or finds in another form, is an `Unreadable` that names the field.
"""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from billing_client.open_enums import OpenEnum

_T = TypeVar("_T")


class Unreadable(ValueError):
    """The answer is not what it should be; the message names the field."""


def read(kind: type[_T], content: object, **known: Any) -> _T:
    """Return `content` as a dataclass of this kind; `known` are fields that it does not hold.

    Text, whole numbers, yes and no, aware times, days, open enums, other results, tuples and
    mappings of these are read. A number is taken for a text, as ids are numbers to some servers.
    A field that may be None may be absent. Raises `Unreadable`.
    """
    return cast(_T, _result(kind, content, "", known))


def _result(kind: type[Any], content: object, path: str, known: Mapping[str, Any]) -> Any:
    if not isinstance(content, dict):
        raise Unreadable(f"{path or 'the answer'} is not an object")
    found = dict(known)
    for name, hint, has_default in _fields(cast(Any, kind)):
        if name in found:
            continue
        place = f"{path}.{name}" if path else name
        if name in content:
            found[name] = _value(hint, content[name], place)
        elif not has_default:
            if not _may_be_none(hint):
                raise Unreadable(f"{place} is missing")
            found[name] = None
    return kind(**found)


def _value(hint: Any, value: object, path: str) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        [one] = [part for part in inner if part is not types.NoneType]
        return None if value is None else _value(one, value, path)
    if origin is tuple:
        return tuple(
            _value(inner[0], one, f"{path}[{place}]")
            for place, one in enumerate(_of(list, value, path))
        )
    if origin is not None and issubclass(origin, Mapping):
        pairs = _of(dict, value, path).items()
        return {name: _value(inner[1], one, f"{path}.{name}") for name, one in pairs}
    if is_dataclass(hint):
        return _result(cast(type[Any], hint), value, path, {})
    return _scalar(hint, value, path)


def _scalar(hint: Any, value: object, path: str) -> Any:
    if hint is bool:
        return _of(bool, value, path)
    if hint is int:
        if type(value) is not int:
            raise Unreadable(f"{path} is not a whole number")
        return value
    if hint is str and type(value) is int:
        return str(value)
    text = _of(str, value, path)
    if hint is str or issubclass(hint, OpenEnum):
        return hint(text)
    return _moment(hint, text, path)


def _moment(hint: Any, text: str, path: str) -> date:
    try:
        found = cast(date, hint.fromisoformat(text))
    except ValueError:
        raise Unreadable(f"{path} is not a {hint.__name__}") from None
    if isinstance(found, datetime) and found.utcoffset() is None:
        raise Unreadable(f"{path} has no time zone")
    return found


def _of(kind: type[_T], value: object, path: str) -> _T:
    if not isinstance(value, kind):
        raise Unreadable(f"{path} is not a {kind.__name__}")
    return value


def _may_be_none(hint: Any) -> bool:
    return hint is Any or types.NoneType in get_args(hint)


@cache
def _fields(kind: Any) -> tuple[tuple[str, Any, bool], ...]:
    hints = get_type_hints(kind)
    return tuple(
        (
            field.name,
            hints[field.name],
            field.default is not MISSING or field.default_factory is not MISSING,
        )
        for field in fields(kind)
    )

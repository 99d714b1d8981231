"""Bodies of the control endpoints: objects with known fields, refused with a plain sentence."""

import json
from typing import Any

from flask import request

from devstack.simulator.post import is_web_address


class ControlError(Exception):
    """A control endpoint was asked for what it does not know; the message says what it knows."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def body(*known: str) -> dict[str, Any]:
    """Return the request's JSON object; with `known` names, no others may be in it."""
    try:
        given = json.loads(request.get_data() or b"{}")
    except ValueError:
        raise ControlError("the body must be JSON") from None
    if not isinstance(given, dict):
        raise ControlError("the body must be a JSON object")
    if known and (extra := sorted(set(given) - set(known))):
        raise ControlError(f"unknown: {', '.join(extra)}; known: {', '.join(known)}")
    return given


def choice(given: dict[str, Any], name: str, choices: tuple[str, ...]) -> Any:
    """Return one of `choices`, by default the first."""
    value = given.get(name, choices[0])
    if value not in choices:
        raise ControlError(f"{name} must be one of {', '.join(choices)}")
    return value


def number(given: dict[str, Any], name: str, *, default: int) -> int:
    """Return a whole number."""
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ControlError(f"{name} must be a whole number")
    return value


def amount(given: dict[str, Any]) -> int | None:
    """Return an amount in the smallest unit; None if none is given."""
    if given.get("amount") is None:
        return None
    value = number(given, "amount", default=0)
    if value < 1:
        raise ControlError("amount must be positive")
    return value


def currency(given: dict[str, Any]) -> str | None:
    """Return a currency as Razorpay writes it; None if none is given."""
    value = given.get("currency")
    if value is not None and not (isinstance(value, str) and len(value) == 3 and value.isupper()):
        raise ControlError("currency must be three capital letters")
    return value


def urls(given: dict[str, Any], name: str) -> tuple[str, ...]:
    """Return a list of addresses of the web."""
    value = given[name]
    if not isinstance(value, list) or not all(is_web_address(url) for url in value):
        raise ControlError(f"{name} must be a list of http addresses")
    return tuple(value)

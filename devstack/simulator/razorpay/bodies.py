"""Request bodies: read as JSON and held against the fields that Razorpay documents."""

import json
from typing import Any

from flask import request

from devstack.simulator.razorpay.errors import ApiError

MOST_NOTES, LONGEST_NOTE = 15, 256
LEAST_PAISE = 100


def read(*known: str) -> dict[str, Any]:
    """Return the body, an object with none but the known fields; no body is an empty one."""
    try:
        body = json.loads(request.get_data() or b"{}")
    except ValueError:
        raise ApiError("The request body is not valid JSON", field=None) from None
    if body == []:  # PHP's empty object
        body = {}
    if not isinstance(body, dict):
        raise ApiError("The request body must be an object")
    if extra := [name for name in body if name not in known]:
        raise extra_field(*extra)
    return body


def extra_field(*names: str) -> ApiError:
    """Return the refusal of fields that are not known."""
    return ApiError(
        f"{', '.join(names)} is/are not required and should not be sent",
        reason="extra_field_sent", step="NA", field=names[0],
    )  # fmt: skip


def amount(body: dict[str, Any], *, what: str, step: str) -> int:
    """Return the amount in paise; `what` begins the message for one that is too small."""
    value = body.get("amount")
    if value is None:
        raise ApiError("amount: is required.", field="amount", step=step)
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ApiError("The amount must be an integer.", field="amount", step=step)
    if value < LEAST_PAISE:
        raise ApiError(what, field="amount", step=step, reason="amount_less_than_minimum_amount")
    return value


def currency(body: dict[str, Any]) -> str:
    """Return the currency: three capital letters."""
    value = body.get("currency")
    if value is None:
        raise ApiError("The currency field is required.", field="currency")
    if not (isinstance(value, str) and len(value) == 3 and value.isupper() and value.isalpha()):
        raise ApiError("Currency is not supported", field="currency")
    return value


def receipt(body: dict[str, Any]) -> str | None:
    """Return the receipt, at most 40 characters."""
    value = body.get("receipt")
    if value is not None and not isinstance(value, str):
        raise ApiError("The receipt must be a string.", field="receipt")
    if value is not None and len(value) > 40:
        raise ApiError("The receipt may not be greater than 40 characters.", field="receipt")
    return value or None


def notes(body: dict[str, Any], *, required: bool = False) -> dict[str, str] | list[str]:
    """Return the notes; empty ones are `[]`, as PHP writes an empty array."""
    value = body.get("notes")
    if required and value is None:
        raise ApiError("The notes field is required.", field="notes")
    if not value:
        return []
    if not isinstance(value, dict):
        raise ApiError("The notes must be an array.", field="notes")
    if len(value) > MOST_NOTES:
        raise ApiError("Number of fields in notes should be less than or equal to 15")
    if any(len(str(text)) > LONGEST_NOTE for text in value.values()):
        raise ApiError("The notes value may not be greater than 256 characters.", field="notes")
    return {key: str(text) for key, text in value.items()}

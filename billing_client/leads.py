"""The fields of a lead, checked by the rules of the server before anything is sent."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from billing_client.errors import InvalidRequest

ID_MAX_LENGTH = 200
ACCOUNT_MAX_LENGTH = 100
KEY_MAX_LENGTH = 200
MAX_PRICE_PAISE = 2**53 - 1
"""The largest whole number that every JSON parser keeps exact."""

_FIELDS = ("lead_id", "account", "package_price_paise", "source", "occurred_at")
_REQUIRED = _FIELDS[:3]
_CONTROL_OR_SURROGATE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search
_DISGUISE = re.compile("[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]").search
"""Invisible characters that change how text looks. The joiners (U+200C, U+200D) are allowed:
scripts of India need them."""
_ACCOUNT = re.compile("[a-z][a-z0-9_]*:[A-Za-z0-9][A-Za-z0-9._-]*").fullmatch
_HEADER_TEXT = re.compile("[!-~](?:[ -~]*[!-~])?").fullmatch


def checked(lead: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a lead as they are sent, without absent ones.

    Raises `InvalidRequest`, which names the field and not its value.
    """
    if not isinstance(lead, Mapping):
        raise InvalidRequest(f"a lead must be a mapping of its fields, not {_kind(lead)}")
    if unknown := lead.keys() - set(_FIELDS):
        raise InvalidRequest(f"{len(unknown)} unknown fields: a lead has {', '.join(_FIELDS)}")
    if missing := [name for name in _REQUIRED if name not in lead]:
        raise InvalidRequest(f"{', '.join(missing)}: missing")
    fields: dict[str, Any] = {
        "lead_id": _text("lead_id", lead["lead_id"], ID_MAX_LENGTH),
        "account": _account(lead["account"]),
        "package_price_paise": _paise(lead["package_price_paise"]),
    }
    if lead.get("source") is not None:
        fields["source"] = _text("source", lead["source"], ID_MAX_LENGTH)
    if lead.get("occurred_at") is not None:
        fields["occurred_at"] = _time(lead["occurred_at"])
    return fields


def checked_id(name: str, value: object) -> str:
    """Return an id, unchanged. Raises `InvalidRequest`."""
    return _text(name, value, ID_MAX_LENGTH)


def checked_key(value: object) -> str:
    """Return an idempotency key, which is sent in a header. Raises `InvalidRequest`."""
    if not isinstance(value, str) or len(value) > KEY_MAX_LENGTH or not _HEADER_TEXT(value):
        raise InvalidRequest(
            f"idempotency_key: must be 1 to {KEY_MAX_LENGTH} printable ASCII characters,"
            " without spaces around them"
        )
    return value


def checked_account(value: object) -> str:
    """Return the reference of an account. Raises `InvalidRequest`."""
    return _account(value)


def _text(name: str, value: object, max_length: int) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"{name}: must be text, not {_kind(value)}")
    if not value.strip():
        raise InvalidRequest(f"{name}: must not be empty")
    if len(value) > max_length:
        raise InvalidRequest(f"{name}: must be at most {max_length} characters, not {len(value)}")
    if _CONTROL_OR_SURROGATE(value):
        raise InvalidRequest(f"{name}: must not hold control characters or lone surrogates")
    if hidden := _DISGUISE(value):
        raise InvalidRequest(f"{name}: must not hold U+{ord(hidden[0]):04X}, which is invisible")
    return str(value)


def _account(value: object) -> str:
    ref = _text("account", value, ACCOUNT_MAX_LENGTH)
    if not _ACCOUNT(ref):
        raise InvalidRequest("account: must be kind:id, such as clinic:42")
    return ref


def _paise(value: object) -> int:
    if type(value) is not int:
        raise InvalidRequest(f"package_price_paise: must be whole paise (int), not {_kind(value)}")
    if not 0 <= value <= MAX_PRICE_PAISE:
        raise InvalidRequest("package_price_paise: must be from 0 to 2^53 - 1")
    return value


def _time(value: object) -> str:
    if not isinstance(value, datetime):
        raise InvalidRequest(f"occurred_at: must be a datetime, not {_kind(value)}")
    if value.utcoffset() is None:
        raise InvalidRequest("occurred_at: must have a time zone")
    if not 2000 <= value.year <= 2100:
        raise InvalidRequest("occurred_at: must be in the years 2000 to 2100")
    return value.isoformat()


def _kind(value: object) -> str:
    return type(value).__name__

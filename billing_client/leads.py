"""The fields of a lead, checked by the rules of the server before anything is sent."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
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
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
).search
"""Unicode's Default_Ignorable_Code_Point and the interlinear annotations: nobody sees them.
The joiners (U+200C, U+200D) are allowed where scripts need them."""
_JOINER = re.compile("[\u200c\u200d]")
_VIRAMA = 9
"""The canonical combining class of the signs that take a consonant's vowel away."""
_BLANK = re.compile("[\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u2800\u3000]").search
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
    """Return an id to look for, unchanged. Raises `InvalidRequest`.

    An id on record may be older than the rule for new ones.
    """
    return _storable(name, value, ID_MAX_LENGTH)


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
    text = _storable(name, value, max_length)
    if problem := _problem_with_looks(text):
        raise InvalidRequest(f"{name}: {problem}")
    return text


def _storable(name: str, value: object, max_length: int) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"{name}: must be text, not {_kind(value)}")
    if not value.strip():
        raise InvalidRequest(f"{name}: must not be empty")
    if len(value) > max_length:
        raise InvalidRequest(f"{name}: must be at most {max_length} characters, not {len(value)}")
    if _CONTROL_OR_SURROGATE(value):
        raise InvalidRequest(f"{name}: must not hold control characters or lone surrogates")
    return str(value)


def _problem_with_looks(value: str) -> str | None:
    """Return how an id could look like another one; None: it could not."""
    if value != value.strip(" "):
        return "must not begin or end with a space"
    if hidden := _UNSEEN(value):
        return f"must not hold U+{ord(hidden[0]):04X}, which is invisible"
    for joiner in _JOINER.finditer(value):
        if not _is_needed(joiner.start(), value):
            return (
                f"must not hold U+{ord(joiner[0]):04X} but beside a virama or between Arabic"
                " letters: elsewhere it is invisible"
            )
    if blank := _BLANK(value):
        return f"must not hold U+{ord(blank[0]):04X}: the only blank is the space, U+0020"
    if not unicodedata.is_normalized("NFC", value):
        return "must be in Unicode's normal form C (NFC): unicodedata.normalize('NFC', ...)"
    return None


def _is_needed(place: int, value: str) -> bool:
    """Return whether a joiner changes what is seen (RFC 5892, A.1 and A.2)."""
    beside = value[max(place - 1, 0) : place], value[place + 1 : place + 2]
    if any(letter and unicodedata.combining(letter) == _VIRAMA for letter in beside):
        return True
    return all(letter and unicodedata.bidirectional(letter) == "AL" for letter in beside)


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
    # In UTC: other zones exist that PostgreSQL does not read, such as +16:00.
    if not 2000 <= value.year <= 2100 or not 2000 <= value.astimezone(UTC).year <= 2100:
        raise InvalidRequest("occurred_at: must be in the years 2000 to 2100")
    return value.astimezone(UTC).isoformat()


def _kind(value: object) -> str:
    return type(value).__name__

"""Texts, ids, keys, amounts and times, checked by the rules of the server before anything is sent.

Each raises `InvalidRequest`, which names the field and not its value.
"""

import json
import re
import unicodedata
from datetime import UTC, date, datetime
from typing import cast

from billing_client.errors import InvalidRequest

ID_MAX_LENGTH = 200
ACCOUNT_MAX_LENGTH = 100
KEY_MAX_LENGTH = 200
MAX_PRICE_PAISE = 2**53 - 1
"""The largest whole number that every JSON parser keeps exact."""
MAX_AMOUNT = 10**12
"""The largest hold or charge, in credits; the limit of the server."""

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
_LINE_BREAKS = re.compile("[\t\n\r]").sub
_ONE_VALUE = re.compile(r"[!-+\--~]{1,200}").fullmatch
"""Visible ASCII without a comma, which separates the values of a header."""
_HEADER_TEXT = re.compile("[!-~](?:[ -~]*[!-~])?").fullmatch


def checked_id(name: str, value: object) -> str:
    """Return an id to look for, unchanged. Raises `InvalidRequest`.

    An id on record may be older than the rule for new ones.
    """
    return _storable(name, value, ID_MAX_LENGTH)


def checked_key(value: object) -> str:
    """Return the key of an event or a task, which is sent in a header. Raises `InvalidRequest`."""
    if not isinstance(value, str) or len(value) > KEY_MAX_LENGTH or not _HEADER_TEXT(value):
        raise InvalidRequest(
            f"idempotency_key: must be 1 to {KEY_MAX_LENGTH} printable ASCII characters,"
            " without spaces around them"
        )
    return value


def checked_api_request_key(value: object) -> str:
    """Return the idempotency key of a request to the API. Raises `InvalidRequest`."""
    if not isinstance(value, str) or not _ONE_VALUE(value):
        raise InvalidRequest(
            f"idempotency_key: must be 1 to {KEY_MAX_LENGTH} visible ASCII characters, without"
            " spaces and commas"
        )
    return value


def checked_account(value: object) -> str:
    """Return the reference of an account. Raises `InvalidRequest`."""
    ref = checked_text("account", value, ACCOUNT_MAX_LENGTH)
    if not _ACCOUNT(ref):
        raise InvalidRequest("account: must be kind:id, such as clinic:42")
    return ref


def checked_amount(name: str, value: object) -> int:
    """Return a number of credits or seconds, unchanged. Raises `InvalidRequest`."""
    return _whole(name, value, 1, MAX_AMOUNT)


def checked_paise(name: str, value: object, *, least: int = 0) -> int:
    """Return an amount of money in whole paise, unchanged. Raises `InvalidRequest`."""
    return _whole(name, value, least, MAX_PRICE_PAISE, "whole paise", "2^53 - 1")


def checked_credits(name: str, value: object) -> int:
    """Return a limit in credits, which may be zero, unchanged. Raises `InvalidRequest`."""
    return _whole(name, value, 0, MAX_AMOUNT)


def checked_number(name: str, value: object) -> int:
    """Return the number of a row of the server, unchanged. Raises `InvalidRequest`."""
    return _whole(name, value, 1, 2**63 - 1, most_in_words="2^63 - 1")


def checked_words(name: str, value: object) -> str:
    """Return a text for people, perhaps of several lines, unchanged. Raises `InvalidRequest`."""
    _storable(name, _LINE_BREAKS(" ", value) if isinstance(value, str) else value, 1_000)
    return cast(str, value)


def checked_json(name: str, value: object, max_bytes: int) -> object:
    """Return what is plain JSON and not too long, unchanged. Raises `InvalidRequest`."""
    try:
        written = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise InvalidRequest(f"{name}: must be plain JSON") from None
    if len(written) > max_bytes:
        raise InvalidRequest(f"{name}: must be at most {max_bytes} bytes as JSON")
    return value


def checked_day(name: str, value: object) -> date:
    """Return a day without a time, unchanged. Raises `InvalidRequest`."""
    if not isinstance(value, date) or isinstance(value, datetime):
        raise InvalidRequest(f"{name}: must be a date, not {_kind(value)}")
    return value


def checked_time(name: str, value: object) -> str:
    """Return an aware time as it is sent, in UTC. Raises `InvalidRequest`."""
    if not isinstance(value, datetime):
        raise InvalidRequest(f"{name}: must be a datetime, not {_kind(value)}")
    if value.utcoffset() is None:
        raise InvalidRequest(f"{name}: must have a time zone")
    # In UTC: other zones exist that PostgreSQL does not read, such as +16:00.
    if not 2000 <= value.year <= 2100 or not 2000 <= value.astimezone(UTC).year <= 2100:
        raise InvalidRequest(f"{name}: must be in the years 2000 to 2100")
    return value.astimezone(UTC).isoformat()


def checked_text(name: str, value: object, max_length: int = ID_MAX_LENGTH) -> str:
    """Return a new id or name, which must look like no other one. Raises `InvalidRequest`."""
    text = _storable(name, value, max_length)
    if problem := _problem_with_looks(text):
        raise InvalidRequest(f"{name}: {problem}")
    return text


def _whole(
    name: str,
    value: object,
    least: int,
    most: int,
    what: str = "a whole number",
    most_in_words: str | None = None,
) -> int:
    if type(value) is not int:
        raise InvalidRequest(f"{name}: must be {what} (int), not {_kind(value)}")
    if not least <= value <= most:
        raise InvalidRequest(f"{name}: must be from {least} to {most_in_words or most}")
    return value


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


def _kind(value: object) -> str:
    return type(value).__name__

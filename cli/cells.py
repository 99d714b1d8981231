"""How one value is written: for a person with its unit, for a machine as it is.

What a field is follows from its name, so that it looks the same in every command: `CREDITS`,
`TEXTS` and the endings `_paise` and `_at` are the one place that knows. All other text is an id
or a word, which is never folded or cut.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from billing.money import rupees
from billing.text import DISGUISES

Record = dict[str, Any]

CREDITS = frozenset(
    {
        "amount",
        "available",
        "balance",
        "balance_after",
        "bonus_credits",
        "captured",
        "closing",
        "credits",
        "credits_expired",
        "credits_granted",
        "credits_refunded",
        "debt",
        "held",
        "low_balance",
        "opening",
        "let_go",
        "overdraft_limit",
        "paid",
        "per_day_28",
        "per_day_7",
        "promotional",
        "unspent",
    }
)
"""Fields whose numbers are credits."""

TEXTS = frozenset(
    {
        "after",
        "banner",
        "before",
        "body",
        "deliveries",
        "description",
        "detail",
        "does",
        "error",
        "evidence",
        "features",
        "holds",
        "why",
        "look",
        "blanked",
        "last_error",
        "name",
        "notes",
        "outcome",
        "problem",
        "reason",
        "remedy",
        "request",
        "scopes",
    }
)
"""Fields with sentences, which may be folded between words."""


def is_credits(name: str, value: object) -> bool:
    """Return whether a field holds an amount of credits."""
    return name in CREDITS and _is_number(value)


def is_number(name: str, value: object) -> bool:
    """Return whether a field is printed as a number, at the right of its column."""
    return _is_number(value) and not is_identifier(name)


def is_identifier(name: str) -> bool:
    """Return whether the numbers of a field are names: they have no commas."""
    return name == "id" or name.endswith("_id") or name in {"version", "number", "line"}


def for_person(name: str, value: object, *, zone: ZoneInfo, record: Mapping[str, Any]) -> str:
    """Return a value as a person reads it; the unit of credits and the zone stand elsewhere."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return local_time(value, zone)
    if name.endswith("_paise") and _is_number(value):
        return money(int(value), str(record.get("currency") or "INR"))  # type: ignore[call-overload]
    if _is_number(value):
        return str(value) if is_identifier(name) else f"{value:,}"
    return plain(value)


def for_machine(value: object) -> str:
    """Return a value for TSV and CSV: numbers without commas, times in ISO 8601 and UTC."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime | date):
        return encode(value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=encode)
    if isinstance(value, list | tuple):
        return ", ".join(for_machine(one) for one in value)
    return str(value)


def local_time(moment: datetime, zone: ZoneInfo) -> str:
    """Return a time in a zone, to the second; in an hour that comes twice, with its offset."""
    local = moment.astimezone(zone)
    # Not strftime, which writes the year 1 as 1.
    text = local.replace(tzinfo=None).isoformat(" ", "seconds")
    twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
    return text + (local.isoformat()[-6:] if twice else "")


def money(amount: int, currency: str) -> str:
    """Return an amount of the smallest unit of a currency; only of the rupee we know the unit."""
    if currency.upper() != "INR":
        return f"{amount:,} of the smallest unit of {plain(currency.upper())}"
    return ("-" if amount < 0 else "") + rupees(abs(amount))


def plain(value: object) -> str:
    """Return a value as text without characters that control a terminal."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{local_time(value, ZoneInfo('UTC'))} UTC"
    if isinstance(value, dict | list | tuple):
        value = inline(value)
    # A sender's text must not control the terminal or change the order of what it shows: such
    # characters are printed as their numbers.
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], str(value))


def inline(value: object) -> str:
    """Return a list of words as words, anything else as one line of JSON."""
    if isinstance(value, list | tuple) and all(isinstance(one, str | int) for one in value):
        return ", ".join(str(one) for one in value) or "-"
    return json.dumps(value, ensure_ascii=False, default=encode)


def encode(value: object) -> str:
    """Return the JSON form of a time or a day."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


_CONTROL = re.compile(f"[\x00-\x09\x0b-\x1f\x7f-\x9f{DISGUISES}]")

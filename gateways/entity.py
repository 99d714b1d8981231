"""Reads the fields of what a gateway sends: tolerant of optional fields, strict with the rest.

Used by the `..._facts.py` of both gateways. Unknown fields are ignored and optional ones may be
missing, because both gateways add and drop them from year to year. A field that decides about money
must be valid. Errors name the field and never repeat its value.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from billing.payments import GatewayName
from billing.text import ID_MAX_LENGTH, problem_with
from gateways.errors import OutcomeUnknown, UnreadableAnswer

MOST_PAISE = 2**53 - 1
"""The largest number that every JSON parser reads exactly; far more than any payment."""
METHOD_MAX_LENGTH = 50

REASON_MAX_LENGTH = 200

_CODE = re.compile("[A-Za-z0-9_.-]{1,100}").fullmatch
_CURRENCY = re.compile("[A-Z]{3}").fullmatch
_UNPRINTABLE = re.compile("[^ -~]").sub
_EARLIEST = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
_LATEST = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())


@dataclass(frozen=True, slots=True)
class Entity:
    """One object of a gateway; every method but `problem` raises `UnreadableAnswer`."""

    gateway: GatewayName
    kind: str
    """What the gateway calls it, for errors: `payment`."""
    fields: Mapping[str, object]

    def problem(self, name: str, what: str) -> UnreadableAnswer:
        """Return the error that names the field `name`."""
        return UnreadableAnswer(self.gateway, f"{self.kind}.{name}", what)

    def identifier(self, name: str) -> str:
        """Return an id that must be there; text that can be kept, of at most 200 characters."""
        value = self.fields.get(name)
        if wrong := problem_with(value, max_length=ID_MAX_LENGTH):
            raise self.problem(name, wrong)
        return str(value)

    def identifier_or_none(self, name: str) -> str | None:
        """Return an id, or None if there is none."""
        return None if self.fields.get(name) is None else self.identifier(name)

    def paise(self, name: str) -> int:
        """Return an amount that must be there, in the smallest unit of the currency."""
        value = self.fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.problem(name, f"must be a whole number, not {type(value).__name__}")
        if not 0 <= value <= MOST_PAISE:
            raise self.problem(name, f"must be from 0 to {MOST_PAISE}")
        return value

    def paise_or_none(self, name: str) -> int | None:
        """Return an amount, or None if there is none."""
        return None if self.fields.get(name) is None else self.paise(name)

    def currency(self, name: str = "currency") -> str:
        """Return the currency, upper case."""
        value = self.fields.get(name)
        if not isinstance(value, str) or not _CURRENCY(value.upper()):
            raise self.problem(name, "must be three letters")
        return value.upper()

    def state(self, name: str) -> str:
        """Return a state that must be there, as the gateway calls it."""
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise self.problem(name, f"must be text, not {type(value).__name__}")
        return value

    def text_or_none(self, name: str, *, max_length: int) -> str | None:
        """Return an optional text, or None if it cannot be recorded."""
        value = self.fields.get(name)
        if problem_with(value, max_length=max_length):
            return None
        return str(value)

    def code_or_none(self, name: str) -> str | None:
        """Return a gateway's error code, or None for a sentence, which may be personal data."""
        value = self.fields.get(name)
        return value if isinstance(value, str) and _CODE(value) else None

    def moment_or_none(self, name: str) -> datetime | None:
        """Return a time given in unix seconds; None if it is none or lies outside 2000..2100."""
        value = self.fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            return None
        return datetime.fromtimestamp(value, UTC) if _EARLIEST <= value < _LATEST else None

    def inner(self, name: str, kind: str) -> "Entity | None":
        """Return an object inside this one, or None if there is none or only its id."""
        value = self.fields.get(name)
        return Entity(self.gateway, kind, value) if isinstance(value, Mapping) else None


def one_line(value: object) -> str:
    """Return a gateway's text as one line of a log; an empty string if it is not a string."""
    return _UNPRINTABLE("?", value[:REASON_MAX_LENGTH]) if isinstance(value, str) else ""


@contextmanager
def unreadable_is_unknown(gateway: GatewayName) -> Iterator[None]:
    """Turn an unreadable answer into `OutcomeUnknown`: the call was made."""
    try:
        yield
    except UnreadableAnswer as error:
        raise OutcomeUnknown(gateway, str(error)) from error

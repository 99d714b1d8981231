"""Reads the fields of what a gateway sends: strict with what counts, tolerant of all else.

Used by the `..._facts.py` of both gateways. `COUNTS` lists the fields that decide about money or
about whose it is. All others are only noted: whatever stands in one, the outcome is the same, so
that a fee in a new form never costs a customer a paid credit. A noted field that cannot be read is
None, with a line in the log that names it. Unknown fields are ignored, because both gateways add
and drop them from year to year. Errors and lines name the field and never repeat its value.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import structlog

from billing.payments import GatewayName
from billing.text import ID_MAX_LENGTH, problem_with, problem_with_identity
from gateways.errors import OutcomeUnknown, UnreadableAnswer
from service.disclosure import fingerprint

log = structlog.get_logger()
_Read = TypeVar("_Read")

COUNTS: Mapping[tuple[GatewayName, str], frozenset[str]] = {
    ("razorpay", "payment"): frozenset(
        {
            "id", "amount", "currency", "status", "captured", "order_id", "amount_refunded",
            "created_at",
        }
    ),
    ("razorpay", "order"): frozenset({"id", "amount", "currency", "receipt"}),
    ("razorpay", "refund"): frozenset({"id", "payment_id", "amount", "status", "receipt"}),
    ("razorpay", "dispute"): frozenset(
        {"id", "payment_id", "amount", "status", "phase", "amount_deducted"}
    ),
    ("stripe", "checkout.session"): frozenset(
        {
            "id", "mode", "amount_total", "currency", "status", "payment_status", "payment_intent",
            "client_reference_id", "payment_link", "metadata",
        }
    ),
    ("stripe", "payment_intent"): frozenset(
        {
            "id", "amount", "amount_received", "currency", "status", "created", "latest_charge",
            "last_payment_error", "metadata",
        }
    ),
    ("stripe", "charge"): frozenset({"amount_refunded", "created"}),
    ("stripe", "refund"): frozenset({"id", "payment_intent", "amount", "status", "metadata"}),
    ("stripe", "dispute"): frozenset(
        {"id", "payment_intent", "amount", "status", "balance_transactions"}
    ),
    ("stripe", "metadata"): frozenset({"receipt"}),
}  # fmt: skip
"""Gateway and kind -> the fields that can change an outcome. Of a kind that is not listed, none."""

MOST_PAISE = 2**53 - 1
"""The largest number that every JSON parser reads exactly; far more than any payment."""
METHOD_MAX_LENGTH = 50

REASON_MAX_LENGTH = 200

_CODE = re.compile("[A-Za-z0-9_.-]{1,100}").fullmatch
_CURRENCY = re.compile("[A-Z]{3}").fullmatch
_PERSONAL = re.compile(r"\S@\S|\d(?:[ .()-]{0,2}\d){6}").search
_UNPRINTABLE = re.compile("[^ -~]").sub
_EARLIEST = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
_LATEST = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())


@dataclass(frozen=True, slots=True)
class Entity:
    """One object of a gateway.

    `identifier`, `paise`, `currency` and `state` read what counts, and raise `UnreadableAnswer`.
    The `noted_...` read what is noted, and never raise. Each reads the fields of its own sort only.
    """

    gateway: GatewayName
    kind: str
    """What the gateway calls it, for errors: `payment`."""
    fields: Mapping[str, object]

    def problem(self, name: str, what: str) -> UnreadableAnswer:
        """Return the error that names the field `name`."""
        return UnreadableAnswer(self.gateway, f"{self.kind}.{name}", what)

    def identifier(self, name: str) -> str:
        """Return an id that must be there; text that can be kept, of at most 200 characters."""
        value = self._counting(name)
        if wrong := problem_with_identity(value, max_length=ID_MAX_LENGTH):
            raise self.problem(name, wrong)
        return str(value)

    def identifier_or_none(self, name: str) -> str | None:
        """Return an id, or None if there is none."""
        return None if self._counting(name) is None else self.identifier(name)

    def paise(self, name: str) -> int:
        """Return an amount that must be there, in the smallest unit of the currency."""
        value = self._counting(name)
        number = _whole_number(value)
        if number is None:
            raise self.problem(name, f"must be a whole number, not {type(value).__name__}")
        if not 0 <= number <= MOST_PAISE:
            raise self.problem(name, f"must be from 0 to {MOST_PAISE}")
        return number

    def paise_or_zero(self, name: str) -> int:
        """Return an amount, or zero if there is none."""
        return 0 if self._counting(name) is None else self.paise(name)

    def currency(self, name: str = "currency") -> str:
        """Return the currency, upper case."""
        value = self._counting(name)
        if not isinstance(value, str) or not _CURRENCY(value.upper()):
            raise self.problem(name, "must be three letters")
        return value.upper()

    def state(self, name: str) -> str:
        """Return a state that must be there, as the gateway calls it."""
        value = self._counting(name)
        if not isinstance(value, str):
            raise self.problem(name, f"must be text, not {type(value).__name__}")
        return value

    def code_or_none(self, name: str) -> str | None:
        """Return a gateway's code; None, like an unknown code, for all else."""
        return _code(self._counting(name))

    def receipt_or_none(self, name: str = "receipt") -> str | None:
        """Return the receipt; None if it cannot be one of ours, which can all be recorded."""
        value = self._counting(name)
        return None if problem_with(value, max_length=ID_MAX_LENGTH) else str(value)

    def moment_or_none(self, name: str) -> datetime | None:
        """Return when it happened, from unix seconds; None if that is no time of 2000..2099.

        Money counts from its receipt by us if the gateway's time of it cannot be read.
        """
        return self._readable(name, self._counting(name), _moment)

    def noted_paise(self, name: str) -> int | None:
        """Return an amount that is only noted."""
        return self._readable(name, self._noted(name), _paise)

    def noted_text(self, name: str, *, max_length: int) -> str | None:
        """Return a text that is only noted."""
        return self._readable(
            name,
            self._noted(name),
            lambda value: None if problem_with(value, max_length=max_length) else str(value),
        )

    def noted_code(self, name: str) -> str | None:
        """Return a gateway's code; None for a sentence, which may be personal data."""
        return self._readable(name, self._noted(name), _code)

    def noted_moment(self, name: str) -> datetime | None:
        """Return a time that is only noted, from unix seconds."""
        return self._readable(name, self._noted(name), _moment)

    def inner(self, name: str, kind: str) -> "Entity | None":
        """Return an object inside this one, or None if there is none or only its id."""
        value = self.fields.get(name)
        return Entity(self.gateway, kind, value) if isinstance(value, Mapping) else None

    def _counting(self, name: str) -> object:
        return self._value(name, counts=True)

    def _noted(self, name: str) -> object:
        return self._value(name, counts=False)

    def _value(self, name: str, *, counts: bool) -> object:
        """Return a field's value; raises `LookupError` for a field of the other sort."""
        if (name in COUNTS.get((self.gateway, self.kind), ())) is not counts:
            raise LookupError(f"COUNTS has {self.kind}.{name} otherwise than it is read")
        return self.fields.get(name)

    def _readable(
        self, name: str, value: object, read: Callable[[object], _Read | None]
    ) -> _Read | None:
        """Return what `read` makes of a value; None, with a line in the log, if it is nothing."""
        if value is None or value == "":
            return None
        found = read(value)
        if found is None:
            log.warning("field not noted", gateway=self.gateway, field=f"{self.kind}.{name}")
        return found


def _whole_number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _paise(value: object) -> int | None:
    number = _whole_number(value)
    return number if number is not None and 0 <= number <= MOST_PAISE else None


def _code(value: object) -> str | None:
    return value if isinstance(value, str) and _CODE(value) else None


def _moment(value: object) -> datetime | None:
    number = _whole_number(value)
    if number is None or not _EARLIEST <= number < _LATEST:
        return None
    return datetime.fromtimestamp(number, UTC)


def one_line(value: object) -> str:
    """Return a gateway's text as one line of a log; an empty string if it is not a string.

    A text with an e-mail address, a UPI address or a number as long as a phone's is shown by its
    length and digest: it may be about the payer.
    """
    if not isinstance(value, str):
        return ""
    return fingerprint(value) if _PERSONAL(value) else _UNPRINTABLE("?", value[:REASON_MAX_LENGTH])


@contextmanager
def unreadable_is_unknown(gateway: GatewayName) -> Iterator[None]:
    """Turn an unreadable answer into `OutcomeUnknown`: the call was made."""
    try:
        yield
    except UnreadableAnswer as error:
        raise OutcomeUnknown(gateway, str(error)) from error

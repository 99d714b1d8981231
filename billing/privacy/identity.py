"""By what a person is known, and whether a value names that person. Pure.

Used by `billing/privacy/erasure.py`. A sender may write an address in capitals, a phone number with
a country code or with blanks between its digits, and any of it as JSON escapes: values are read
before they are compared.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from urllib.parse import unquote

from billing.privacy.errors import InvalidIdentity

_PHONE_DIGITS = 10
"""The last digits of a phone number: what comes before them is a country code, or a zero."""
_FEWEST_DIGITS = 7
_SEPARATOR = r"[ \t\xa0().-]*"
_SEPARATORS = b" \t().-"
_FEW = 20
"""With more ids than this, each value is read: it is quicker than to look for one after another."""
_BETWEEN_WORDS = re.compile(r"[\s/,;?!()\[\]{}\"'<>]+|[.:](?=\s|$)")
"""What ends an id within a text or a path; a colon and a dot may be part of one."""
_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+")


@dataclass(frozen=True, slots=True)
class Identity:
    """By what a person is known; at least one of these is not empty."""

    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    vpas: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()
    payments: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()

    def kinds(self) -> list[str]:
        """Return what is given, by its name: `email`, `phone` and so on."""
        given = {
            "email": self.emails,
            "phone": self.phones,
            "vpa": self.vpas,
            "lead": self.leads,
            "payment": self.payments,
            "account": self.accounts,
        }
        return [kind for kind, values in given.items() if values]

    def ids(self) -> tuple[str, ...]:
        """Return the ids among them, which are compared letter by letter."""
        return (*self.leads, *self.payments, *self.accounts)


class Matcher:
    """Tells whether values name a person."""

    def __init__(self, identity: Identity, *, more_ids: tuple[str, ...] = ()) -> None:
        """`more_ids` are those of payments, orders and refunds that belong to the person.

        Raises `InvalidIdentity`: what is no address and no phone number would match the wrong rows.
        """
        self._addresses = [
            *(_Address("--email", value) for value in identity.emails),
            *(_Address("--vpa", value) for value in identity.vpas),
        ]
        self._phones = [_Phone(value) for value in identity.phones]
        if not all(id_.strip() for id_ in identity.ids()):
            raise InvalidIdentity("the id of a lead, a payment or an account must not be empty")
        self._ids = frozenset([*identity.ids(), *more_ids])
        if not (self._addresses or self._phones or self._ids):
            raise InvalidIdentity(
                "give at least one of --email, --phone, --vpa, --lead, --payment and --account"
            )

    def names(self, value: object) -> bool:
        """Tell whether a value of a column, text, bytes or JSON, names the person."""
        if value is None or not self._may_name(value):
            return False
        leaves = list(_texts_of(value))
        text = "\n".join(leaves)
        lowered = text.lower()
        if any(address.is_in(lowered) for address in self._addresses):
            return True
        if any(phone.is_in(text) for phone in self._phones):
            return True
        return bool(self._ids) and any(
            not self._ids.isdisjoint((leaf, *_BETWEEN_WORDS.split(leaf))) for leaf in leaves
        )

    def names_in(self, values: Sequence[object]) -> bool:
        """Tell whether one of the values of a row names the person."""
        texts = [value for value in values if isinstance(value, str | bytes)]
        raw = b"\n".join([t if isinstance(t, bytes) else t.encode() for t in texts])
        others = [value for value in values if not isinstance(value, str | bytes)]
        if self._may_name(raw):
            others += texts
        return any(self.names(value) for value in others)

    def _may_name(self, value: object) -> bool:
        """Tell whether a value has to be read: nearly every one is somebody else's.

        Looks for plain letters in its bytes, at a tenth of the cost of reading it. What has
        escapes in it is read.
        """
        if not isinstance(value, bytes | str) or len(self._ids) > _FEW:
            return True
        raw = value if isinstance(value, bytes) else value.encode("utf-8", "replace")
        if b"\\" in raw or b"%" in raw:
            return True
        if any(id_.encode() in raw for id_ in self._ids):
            return True
        lowered = raw.lower() if self._addresses else b""
        digits = raw.replace(b"\xc2\xa0", b"").translate(None, _SEPARATORS)
        return any(
            not address.letters.isascii() or address.letters.encode() in lowered
            for address in self._addresses
        ) or any(phone.digits.encode() in digits for phone in self._phones)


class _Address:
    def __init__(self, option: str, value: str) -> None:
        if not _ADDRESS.fullmatch(value):
            raise InvalidIdentity(f"{option} must be of the form name@place")
        self.letters = value.lower()
        self._alone = re.compile(rf"(?<![\w.+%-]){re.escape(self.letters)}(?![\w-]|\.\w)")

    def is_in(self, lowered: str) -> bool:
        return bool(self._alone.search(lowered))


class _Phone:
    def __init__(self, value: str) -> None:
        digits = re.sub(r"\D", "", value)
        if len(digits) < _FEWEST_DIGITS or re.search(r"[^\d\s+().-]", value):
            raise InvalidIdentity(f"--phone must be a number of at least {_FEWEST_DIGITS} digits")
        self.digits = digits[-_PHONE_DIGITS:]
        # At most a country code of three digits, or zeros, before it.
        spaced = _SEPARATOR.join(self.digits)
        self._alone = re.compile(rf"(?<!\d)(?:\+?\d{{1,3}}{_SEPARATOR})?{spaced}(?!\d)")

    def is_in(self, text: str) -> bool:
        return bool(self._alone.search(text))


def _texts_of(value: object) -> Iterator[str]:
    """Yield the texts in a value: names and values of a JSON document, whatever its depth."""
    if isinstance(value, bytes | memoryview):
        value = bytes(value).decode("utf-8", "replace")
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        # Of what is no JSON, its letters are all that can be compared.
        with suppress(ValueError, RecursionError):
            value = json.loads(value, object_pairs_hook=chain.from_iterable)
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            waiting.extend(chain.from_iterable(found.items()))
        elif isinstance(found, list | chain):  # an object with all its fields, doubled ones too
            waiting.extend(found)
        else:
            yield unquote(str(found))

"""The format of an anchor, written and read as a stream: text, or one JSON document.

One line for each account, in the byte order of the references:

    # billing ledger anchor 1, taken at 2026-11-21T12:00:00+00:00
    clinic:42 17 5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9
    # 1 accounts, 17 transactions, sha256 87422d043549...

A line has the reference, the version (number of rows) and the hash of the newest row. The digest is
the SHA-256 of the lines without `#`, with their line feeds (`grep -v '^#' FILE | sha256sum`): the
same books have the same digest, at any place and time. In JSON, too, each account has a line of its
own, and the digest is that of the text. A million accounts need no more memory than one.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO

from billing.verification.errors import InvalidAnchor

_LONGEST_LINE = 1_000
_FORMAT = "billing ledger anchor 1"
_HEAD = re.compile(rf"# {_FORMAT}, taken at (\S+)")
_ENTRY = re.compile(r"([^\x00-\x20]{1,100}) (0|[1-9][0-9]{0,17}) ([0-9a-f]{64})")
_FOOT = re.compile(r"# ([0-9]+) accounts, ([0-9]+) transactions, sha256 ([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Entry:
    """One account at the time of the anchor."""

    account: str
    version: int
    """Number of its ledger rows."""
    head_hash: str
    """Hash of its newest row, or of its reference if it has none; hexadecimal."""

    @property
    def line(self) -> str:
        """The account's line, which the digest covers."""
        return f"{self.account} {self.version} {self.head_hash}\n"

    @property
    def is_writable(self) -> bool:
        """Whether the line is unambiguous; it is for every account that was not tampered with."""
        return _ENTRY.fullmatch(self.line[:-1]) is not None


class _Total:
    """The totals below the entries."""

    def __init__(self) -> None:
        self.accounts = 0
        self.transactions = 0
        self._digest = hashlib.sha256()

    def add(self, entry: Entry) -> None:
        self.accounts += 1
        self.transactions += entry.version
        self._digest.update(entry.line.encode())

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def as_text(entries: Iterable[Entry], *, taken_at: datetime) -> Iterator[str]:
    """Yield the lines of an anchor."""
    total = _Total()
    yield f"# {_FORMAT}, taken at {taken_at.astimezone(UTC).isoformat()}\n"
    for entry in entries:
        total.add(entry)
        yield entry.line
    yield (
        f"# {total.accounts} accounts, {total.transactions} transactions, sha256 {total.sha256}\n"
    )


def as_json(entries: Iterable[Entry], *, taken_at: datetime) -> Iterator[str]:
    """Yield the lines of an anchor that is one JSON document."""
    total = _Total()
    head = {"format": _FORMAT, "taken_at": taken_at.astimezone(UTC).isoformat()}
    yield json.dumps(head)[:-1] + ', "entries": ['
    for entry in entries:
        yield "\n" if total.accounts == 0 else ",\n"
        total.add(entry)
        yield json.dumps(
            {"account": entry.account, "version": entry.version, "head_hash": entry.head_hash},
            ensure_ascii=False,
        )
    foot = {
        "accounts": total.accounts,
        "transactions": total.transactions,
        "sha256": total.sha256,
    }
    yield '\n], "total": ' + json.dumps(foot) + "}\n"


class Reader:
    """Reads an anchor of either format line by line; `file` is open for reading bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._line_number = 0
        head = self._next_line()
        self._is_json = head.startswith("{")
        if self._is_json:
            document = self._json(head + "]}")
            known, self.taken_at = document.get("format") == _FORMAT, document.get("taken_at")
        else:
            found = _HEAD.fullmatch(head)
            known, self.taken_at = found is not None, found[1] if found else None
        if not known or not isinstance(self.taken_at, str):
            raise InvalidAnchor("its first line is not that of an anchor")
        self.total = _Total()
        """The totals of what was read so far."""
        self.is_whole = False
        """Whether the end was reached, matches what was read, and nothing follows."""

    def entries(self) -> Iterator[Entry]:
        """Yield the entries, once; raises `InvalidAnchor` for an invalid line."""
        while line := self._next_line():
            if line.startswith(("#", "]")):
                self.is_whole = self._foot(line) == self._found() and not self._next_line()
                return
            entry = self._entry(line)
            self.total.add(entry)
            yield entry

    def _entry(self, line: str) -> Entry:
        if self._is_json:
            fields = self._json(line.removesuffix(","))
            line = " ".join(str(fields.get(key)) for key in ("account", "version", "head_hash"))
        found = _ENTRY.fullmatch(line)
        if found is None:
            raise self._refusal()
        return Entry(found[1], int(found[2]), found[3])

    def _foot(self, line: str) -> tuple[str, ...]:
        if self._is_json:
            total = self._json('{"entries": [' + line).get("total")
            total = total if isinstance(total, dict) else {}
            return tuple(str(total.get(key)) for key in ("accounts", "transactions", "sha256"))
        found = _FOOT.fullmatch(line)
        return found.groups() if found else ()

    def _found(self) -> tuple[str, ...]:
        return (str(self.total.accounts), str(self.total.transactions), self.total.sha256)

    def _next_line(self) -> str:
        raw = self._file.readline(_LONGEST_LINE)
        self._line_number += 1
        try:
            return raw.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise self._refusal() from None

    def _json(self, text: str) -> dict[str, object]:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise self._refusal()
        return document

    def _refusal(self) -> InvalidAnchor:
        return InvalidAnchor(f"line {self._line_number} is not valid")

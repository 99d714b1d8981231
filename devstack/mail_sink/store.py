"""The mails that the sink keeps: two files each, the bytes as they came and the envelope.

The newest `most` stay. A mail is there when its envelope is: the bytes are written first.
"""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import clock
from devstack import secret_files

_ID = re.compile("[0-9]{8}")


@dataclass(frozen=True)
class Mail:
    """One mail as it was taken."""

    mail_id: str
    """Eight digits; a later mail has a higher one."""
    received_at: datetime
    sender: str
    """Of the envelope, as `recipients` are."""
    recipients: tuple[str, ...]
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        """The mail, parsed."""
        parsed = message_from_bytes(self.raw, policy=policy.default)
        assert isinstance(parsed, EmailMessage)  # noqa: S101 - the policy makes one
        return parsed

    def headers(self) -> list[tuple[str, str]]:
        """Return its headers in their order, decoded; one that cannot be read as it came."""
        return [(name, _shown(value)) for name, value in self.message.raw_items()]

    def header(self, name: str) -> str:
        """Return one header, or nothing."""
        return next((v for n, v in self.headers() if n.lower() == name.lower()), "")

    def text(self) -> str | None:
        """Return its plain text; None: it has none."""
        return self._content("plain")

    def html(self) -> str | None:
        """Return its HTML; None: it has none."""
        return self._content("html")

    def as_json(self) -> dict[str, Any]:
        """Return everything that a test asks for."""
        return {
            "id": self.mail_id,
            "received_at": self.received_at.isoformat(),
            "from": self.sender,
            "to": list(self.recipients),
            "subject": self.header("Subject"),
            "headers": self.headers(),
            "text": self.text(),
            "html": self.html(),
        }

    def _content(self, kind: str) -> str | None:
        try:
            part = self.message.get_body((kind,))
            return None if part is None else str(part.get_content()).replace("\r\n", "\n")
        except (LookupError, ValueError, KeyError):  # such as a charset that nobody knows
            return None


class Store:
    """The folder of one sink; its methods may be called from any thread."""

    def __init__(self, folder: Path, *, most: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._most = most
        self._lock = threading.Lock()
        self._last = max((int(mail_id) for mail_id in self._ids()), default=0)

    def add(self, sender: str, recipients: Sequence[str], raw: bytes) -> str:
        """Keep a mail, and drop the oldest beyond the most; return its id."""
        with self._lock:
            self._last += 1
            mail_id = f"{self._last:08d}"
            envelope = {
                "received_at": clock.now().isoformat(),
                "from": sender,
                "to": list(recipients),
            }
            path = self._path(mail_id)
            path.with_suffix(".eml").write_bytes(raw)
            secret_files.write(path.with_suffix(".json"), json.dumps(envelope) + "\n")
            for old in self._ids()[self._most :]:
                self._path(old).with_suffix(".json").unlink(missing_ok=True)
                self._path(old).with_suffix(".eml").unlink(missing_ok=True)
            return mail_id

    def mails(self) -> Iterator[Mail]:
        """Yield the kept mails, the newest first."""
        for mail_id in self._ids():
            mail = self.find(mail_id)
            if mail is not None:
                yield mail

    def find(self, mail_id: str) -> Mail | None:
        """Return a mail; None: there is none of that id, or it was dropped."""
        if not _ID.fullmatch(mail_id):
            return None
        path = self._path(mail_id)
        try:
            envelope = json.loads(path.with_suffix(".json").read_text())
            raw = path.with_suffix(".eml").read_bytes()
        except FileNotFoundError:
            return None
        received_at = datetime.fromisoformat(envelope["received_at"])
        return Mail(mail_id, received_at, envelope["from"], tuple(envelope["to"]), raw)

    def _ids(self) -> list[str]:
        found = (path.stem for path in self._folder.glob("*.json") if _ID.fullmatch(path.stem))
        return sorted(found, reverse=True)

    def _path(self, mail_id: str) -> Path:
        return self._folder / mail_id


def _shown(value: Any) -> str:
    try:
        return " ".join(str(policy.default.header_fetch_parse("X", value)).split())
    except (ValueError, LookupError, IndexError):
        return " ".join(str(value).split())

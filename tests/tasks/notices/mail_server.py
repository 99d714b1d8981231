"""A mail server that takes, refuses or puts off what it is sent, by the recipient's name."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from devstack.ports import find_free


class MailServer:
    """`busy@` is answered 451, `refused@` 550, and `slow@` only once it may go on."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.goes_on = threading.Event()
        self.tries = 0
        self.is_down = False
        self.port = find_free()

    @property
    def url(self) -> str:
        """For SMTP_URL."""
        return f"smtp://127.0.0.1:{self.port}"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        self.tries += 1
        name = address.partition("@")[0]
        if self.is_down or name == "busy":
            return "451 4.7.1 come back later, accounts@clinic.example"
        if name == "refused":
            return "550 5.1.1 no such person as accounts@clinic.example"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        if str(mail["To"]).startswith("slow@"):
            while not self.goes_on.is_set():
                await asyncio.sleep(0.02)
        return "250 taken"


@contextmanager
def serving() -> Iterator[MailServer]:
    """Yield a server that listens on this machine."""
    server = MailServer()
    controller = Controller(server, hostname="127.0.0.1", port=server.port)
    controller.start()
    try:
        yield server
    finally:
        server.goes_on.set()
        controller.stop()

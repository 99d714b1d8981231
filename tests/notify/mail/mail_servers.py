"""Mail servers for the tests: a real one (aiosmtpd), and ones that misbehave."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from devstack import ports
from settings import SmtpAddress

USER, PASSWORD = "postmaster@market.example", "p@ss/w:rd %41"


@dataclass
class Inbox:
    """What a server took, and what it answers instead: step -> answer."""

    answers: dict[str, str] = field(default_factory=dict)
    envelopes: list[tuple[str, list[str], bytes]] = field(default_factory=list)
    logged_in: list[tuple[str, str]] = field(default_factory=list)

    def newest(self) -> EmailMessage:
        *_, content = self.envelopes[-1]
        return message_from_bytes(content, policy=policy.SMTP)

    async def handle_MAIL(  # noqa: N802 -- the hook's own name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if "MAIL" not in self.answers:
            envelope.mail_from = address
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if "RCPT" not in self.answers:
            envelope.rcpt_tos.append(address)
        return self.answers.get("RCPT", "250 OK")

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        if "DATA" not in self.answers:
            self.envelopes.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return self.answers.get("DATA", "250 OK")

    def authenticate(
        self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: LoginPassword
    ) -> AuthResult:
        given = data.login.decode(), data.password.decode()
        self.logged_in.append(given)
        return AuthResult(success=given == (USER, PASSWORD), handled=False)


@contextmanager
def real_server(
    inbox: Inbox, *, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[SmtpAddress]:
    """Run aiosmtpd; yield its address, as a client that is set up well has it."""
    asks_for_log_in = bool(starttls or tls)
    controller = Controller(
        inbox,
        hostname=ports.HOST,
        port=ports.find_free(),
        server_hostname="mail.example",  # its own default asks the name server
        ssl_context=tls,
        tls_context=starttls,
        require_starttls=bool(starttls),
        authenticator=inbox.authenticate if asks_for_log_in else None,
        auth_required=bool(starttls),  # aiosmtpd takes TLS from the first byte for none, and warns
        auth_require_tls=not tls,
    )
    controller.start()
    try:
        user, password = (USER, PASSWORD) if asks_for_log_in else ("", "")
        security: Any = "starttls" if starttls else "tls" if tls else "none"
        yield SmtpAddress("localhost", controller.port, security, user, password)
    finally:
        controller.stop()


@contextmanager
def raw_server(behave: Callable[[socket.socket], None]) -> Iterator[SmtpAddress]:
    """Run a server that does with each connection what the test wants."""
    listener = socket.create_server((ports.HOST, 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    behave(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield SmtpAddress(ports.HOST, listener.getsockname()[1], "none")
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def hang(connection: socket.socket) -> None:
    """Say nothing until the other side goes."""
    while connection.recv(1000):
        pass


def drip(connection: socket.socket) -> None:
    """Send a greeting that never ends, a byte at a time: no single read is slow."""
    while True:
        connection.sendall(b"2")
        time.sleep(0.02)


def talk_on(connection: socket.socket) -> None:
    """Send a greeting of endless lines, as fast as they are read."""
    while True:
        connection.sendall(b"220-and more\r\n" * 1000)


def drop(connection: socket.socket) -> None:
    """Greet, then go."""
    connection.sendall(b"220 here\r\n")


def no_smtp(connection: socket.socket) -> None:
    """Speak something else."""
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def refuse_all(connection: socket.socket) -> None:
    """Greet with a refusal: no service for this client."""
    connection.sendall(b"554 5.7.1 secret-host says no to you\r\n")
    connection.recv(1)


def hang_after_text(connection: socket.socket) -> None:
    """Take a mail and never say so."""
    with connection.makefile("rwb") as lines:
        lines.write(b"220 here\r\n")
        lines.flush()
        for line in lines:
            answer = b"354 go on" if line.upper().startswith(b"DATA") else b"250 OK"
            lines.write(answer + b"\r\n")
            lines.flush()
            if answer.startswith(b"354"):
                break
        for _ in lines:
            pass

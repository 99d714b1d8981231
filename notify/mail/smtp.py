"""Hands one mail to the server of SMTP_URL, over TLS unless the server is on this machine.

A mail goes to one recipient, so one answer of the server is one outcome. What is wrong with the
mail (5xx to the sender, the recipient or the text) makes it dead. What is wrong with connection,
certificate or log-in would be wrong for every mail: it is tried again, so that an expired
certificate or a changed password kills none. Nothing is ever sent in the clear over a network.

Called through `notify.mail.send`. No message of an error repeats what the server said, apart from
its status codes.
"""

import contextlib
import re
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from typing import BinaryIO

from notify.mail.errors import MailNotNow, MailRefused
from settings import SmtpAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long one mail may take."""

    connect_seconds: float = 10
    """For each address of the server's name."""
    whole_seconds: float = 30
    """From the look-up of the name to the answer after the text, however slowly the server drips.

    The look-up itself is bounded by the system's resolver only."""


LIMITS = Limits()
MOST_REPLY_BYTES = 64 * 1024
"""Read of a server in all; what says more is no mail server."""
_QUIT_SECONDS = 2
_ASKS_FOR_LOG_IN = {530, 534, 535, 538}
"""RFC 4954, 6: what they refuse is the log-in, not the mail."""
_ENHANCED = re.compile(rb"([245]\.[0-9]{1,3}\.[0-9]{1,3})\b")
"""RFC 3463: digits that say why; the text behind them stays with the server."""


def send(message: EmailMessage, *, server: SmtpAddress, limits: Limits = LIMITS) -> None:
    """Hand the mail to the server, for the one recipient of its `To`.

    Raises `MailRefused` if it can never be sent, and `MailNotNow` if it can be later. After
    `MailNotNow` the server may have it all the same: its answer can get lost.
    """
    sender, recipient = _only_address(message, "From"), _only_address(message, "To")
    content = message.as_bytes()
    with _connected(server, limits) as connection:
        if server.user:
            connection.login(server.user, server.password)
        size = [f"SIZE={len(content)}"] if connection.has_extn("size") else []  # RFC 1870
        _judge("the sender", connection.mail(sender, size))
        _judge("the recipient", connection.rcpt(recipient))
        _judge("the text", _data(connection, content))


def _only_address(message: EmailMessage, header: str) -> str:
    [address] = message[header].addresses
    return str(address.addr_spec)


@contextlib.contextmanager
def _connected(server: SmtpAddress, limits: Limits) -> Iterator["_Connection"]:
    """Yield a connection that has greeted; every problem with it becomes `MailNotNow`."""
    connection = _Connection(server, limits)
    try:
        yield connection.opened()
        connection.quit_soon()
    except (MailNotNow, MailRefused) as error:
        if connection.is_late:  # the answer was cut off: half a word is no outcome
            raise MailNotNow(connection.problem_of(error)) from None
        connection.quit_soon()
        raise
    except _TooMuch:
        raise MailNotNow("the mail server's answer has no end") from None
    except ssl.SSLCertVerificationError as error:
        raise MailNotNow(
            f"the mail server's certificate is not valid: {error.verify_message}"
        ) from None
    except (OSError, smtplib.SMTPException, UnicodeError) as error:
        # SMTPException is an OSError, named all the same; a host name can be no IDNA.
        raise MailNotNow(connection.problem_of(error)) from None
    finally:
        connection.end()


class _TooMuch(Exception):
    """No `OSError`: smtplib would take it for the end of the connection."""


class _Replies:
    """What the server says, line by line, up to an end that it has to have."""

    def __init__(self, lines: BinaryIO) -> None:
        self._lines = lines
        self._left = MOST_REPLY_BYTES
        self.close = lines.close

    def readline(self, limit: int) -> bytes:
        """Return the next line."""
        line = self._lines.readline(limit)
        self._left -= len(line)
        if self._left < 0:
            raise _TooMuch
        return line


class _Connection(smtplib.SMTP):
    """smtplib's, with a deadline for all steps together, and TLS from the first byte if asked."""

    def __init__(self, server: SmtpAddress, limits: Limits) -> None:
        # The name for EHLO is given: smtplib's own default asks the name server, without a limit.
        own_name = socket.gethostname()
        super().__init__(local_hostname=own_name if "." in own_name else "[127.0.0.1]")
        self._server = server
        self._limits = limits
        self._deadline = time.monotonic() + limits.whole_seconds
        self.is_late = False
        self._guard: tuple[threading.Timer, socket.socket] | None = None

    def opened(self) -> "_Connection":
        """Return the connection after greeting and EHLO, within TLS if it is to be."""
        code, _ = self.connect(self._server.host, self._server.port)
        if code != 220:
            raise MailNotNow(f"the mail server greeted with {code}")
        self.ehlo_or_helo_if_needed()
        if self._server.security == "starttls":
            if not self.has_extn("starttls"):
                raise MailNotNow(
                    "the mail server does not offer STARTTLS, and mails never go in the clear:"
                    " write smtps:// if it speaks TLS from the first byte"
                )
            self._host = self._server.host
            code, _ = self.starttls(context=ssl.create_default_context())
            if code != 220:
                raise MailNotNow(f"the mail server refused STARTTLS with {code}")
            self.ehlo_or_helo_if_needed()
        return self

    def _get_socket(self, host: str, port: int, _timeout: object) -> socket.socket:
        """Return the socket that `connect` speaks through; smtplib calls it."""
        plain = socket.create_connection((host, port), self._limits.connect_seconds)
        left = max(self._deadline - time.monotonic(), 0.001)
        plain.settimeout(left)
        same_connection = plain.dup()
        timer = threading.Timer(left, self._cut, (same_connection,))
        timer.daemon = True
        timer.start()
        self._guard = timer, same_connection
        if self._server.security == "tls":
            return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
        return plain

    def getreply(self) -> tuple[int, bytes]:
        """Return the next reply; smtplib calls it after each command."""
        if self.file is None and self.sock is not None:
            self.file = _Replies(self.sock.makefile("rb"))
        return super().getreply()

    def _cut(self, same_connection: socket.socket) -> None:
        """End the connection under whatever step waits.

        A time-out of a socket alone would start anew with each byte that drips in.
        """
        self.is_late = True
        with contextlib.suppress(OSError):
            same_connection.shutdown(socket.SHUT_RDWR)

    def quit_soon(self) -> None:
        """Say goodbye: the mail is the server's already, whatever it answers."""
        with contextlib.suppress(OSError):
            if self.sock:
                self.sock.settimeout(_QUIT_SECONDS)
            self.quit()

    def problem_of(self, error: Exception) -> str:
        """Return in our words why the connection failed."""
        if self.is_late or time.monotonic() >= self._deadline:
            return f"the mail server was not done within {self._limits.whole_seconds:g} s"
        match error:
            case smtplib.SMTPAuthenticationError():
                return f"the mail server did not accept user and password ({error.smtp_code})"
            case smtplib.SMTPNotSupportedError():
                problem = "offers no log-in that we know"
            case smtplib.SMTPServerDisconnected():
                problem = "ended the connection"
            case smtplib.SMTPResponseException():
                problem = f"answered out of turn ({error.smtp_code})"
            case TimeoutError():
                problem = f"was not there within {self._limits.connect_seconds:g} s"
            case _:
                problem = f"could not be reached ({type(error).__name__})"
        return f"the mail server {problem}"

    def end(self) -> None:
        """Close the connection and stop its guard."""
        if self._guard:
            timer, same_connection = self._guard
            timer.cancel()
            same_connection.close()
        self.close()


def _data(connection: _Connection, content: bytes) -> tuple[int, bytes]:
    try:
        return connection.data(content)
    except smtplib.SMTPDataError as error:  # refused before the text
        reply = error.smtp_error
        return error.smtp_code, reply if isinstance(reply, bytes) else reply.encode()


def _judge(what: str, answer: tuple[int, bytes]) -> None:
    """Raise what the server's answer to one step says about the mail."""
    code, reply = answer
    if 200 <= code <= 299:
        return
    enhanced = _ENHANCED.match(reply)
    shown = f"{code} {enhanced[1].decode()}" if enhanced else str(code)
    if 500 <= code <= 599 and code not in _ASKS_FOR_LOG_IN:
        raise MailRefused(f"the mail server refused {what} with {shown}")
    raise MailNotNow(f"the mail server did not take {what} now: {shown}")

"""Reads SMTP_URL, the server that takes our mails, and MAIL_FROM, the address that they come from.

smtp+starttls://user:password@host:587    plain at first, then TLS; it must be offered
smtps://user:password@host:465            TLS from the first byte
smtp://127.0.0.1:25                       no TLS: a server on the same machine alone
"""

import ipaddress
import re
from dataclasses import dataclass, field, replace
from typing import Literal

from settings import userinfo

Security = Literal["starttls", "tls", "none"]

_SCHEMES: dict[str, tuple[Security, int]] = {
    "smtp+starttls": ("starttls", 587),
    "smtps": ("tls", 465),
    "smtp": ("none", 25),
}
"""Scheme -> how it is secured, and the usual port (RFC 8314, 3.3; RFC 6409, 3.1; RFC 5321)."""
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]@,;:/?#%\s]+)(?::([0-9]{1,5}))?/?")
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_NAMED = re.compile(r'(?P<name>[^"<>@,;:\\\x00-\x1f\x7f]*)<(?P<at>[^<>]+)>')
_QUOTED = re.compile(r'"(?P<name>[^"\\\x00-\x1f\x7f]*)" ?<(?P<at>[^<>]+)>')
ADDRESS_MAX_LENGTH = 254
"""RFC 5321, 4.5.3.1.3, as RFC 3696's erratum 1690 reads it."""


@dataclass(frozen=True)
class SmtpAddress:
    """The server that takes our mails."""

    host: str
    port: int
    security: Security
    user: str = ""
    """Empty: without a log-in."""
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class Sender:
    """Whom our mails are from."""

    address: str
    name: str = ""


def read_server(url: str) -> SmtpAddress:
    """Return what SMTP_URL says. Raises `ValueError`, with nothing of its secrets."""
    scheme, separator, text = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise ValueError("must start with smtp+starttls://, smtps:// or smtp://")
    security, port = _SCHEMES[scheme]
    user, address = userinfo.part(text, lambda rest: _read_rest(rest, security, port))
    if security == "none" and not _is_loopback(address.host):
        raise ValueError(
            "smtp:// sends everything in the clear, and is for a server on this machine alone:"
            " write smtp+starttls:// or smtps://"
        )
    if not user:
        return address
    name, password = userinfo.decoded(user)
    if not name or not password:
        raise ValueError("needs both a user and a password, or neither")
    if not (name + password).isascii() or not (name + password).isprintable():
        raise ValueError("user and password must be ASCII without control characters")
    return replace(address, user=name, password=password)


def read_sender(text: str) -> Sender:
    """Return what MAIL_FROM says: `address`, or `Name <address>`. Raises `ValueError`."""
    named = _NAMED.fullmatch(text) or _QUOTED.fullmatch(text)
    name, address = (named["name"].strip(), named["at"].strip()) if named else ("", text)
    if not _ADDRESS.fullmatch(address) or len(address) > ADDRESS_MAX_LENGTH:
        raise ValueError("must be an address such as billing@example.com, or Name <address>")
    return Sender(address, name)


def _read_rest(text: str, security: Security, port: int) -> SmtpAddress:
    match = _HOST.fullmatch(text)
    if match is None or not 1 <= int(match[2] or port) <= 65535:
        raise ValueError("must be smtp+starttls://user:password@host:port, and nothing behind it")
    return SmtpAddress(match[1].strip("[]"), int(match[2] or port), security)


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

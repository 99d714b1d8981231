"""Which addresses an endpoint may have, by their form alone.

Whether what the name stands for may be reached is `notify/http`'s question, at each call.
"""

import ipaddress
from urllib.parse import SplitResult, urlsplit

from billing.notices.errors import InvalidEndpoint

MAX_LENGTH = 2_000
MAX_HOST = 253
HTTPS_PORT = 443
FIRST_UNRESERVED_PORT = 1024
"""Ports below belong to other services, which must not be made to answer a stranger's call; of them
only 443 is allowed. Platforms of small businesses listen on 8443, 3000, 8080: those above are."""


def checked(url: str, *, loopback_http: bool) -> str:
    """Return the address of an endpoint in one form: host in lower case and ASCII.

    `loopback_http`: plain HTTP to this computer is allowed, and any port of it. Raises
    `InvalidEndpoint`.
    """
    if len(url) > MAX_LENGTH:
        raise _invalid(f"may have at most {MAX_LENGTH} characters")
    if not url.isprintable() or not url.isascii() or " " in url or "\\" in url:
        url = _with_ascii_host(url)
    parts = _parts(url)
    host = _host(parts)
    port = _port(parts)
    loopback = loopback_http and is_loopback(host)
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise _invalid("must begin with https://")
    if port is not None and port != HTTPS_PORT and port < FIRST_UNRESERVED_PORT and not loopback:
        raise _invalid(f"may name port {HTTPS_PORT} or one from {FIRST_UNRESERVED_PORT}")
    named = f"[{host}]" if ":" in host else host
    location = named if port is None else f"{named}:{port}"
    return parts._replace(netloc=location, path=parts.path or "/").geturl()


def host_of(url: str) -> str:
    """Return the host of a checked address: all of it that notices and logs may show."""
    return urlsplit(url).hostname or ""


def is_loopback(host: str) -> bool:
    """Return whether a host, by its form, is this computer."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _invalid("is not a web address") from None
    if "@" in parts.netloc:
        raise _invalid("must hold no user or password: a notice is signed instead")
    if "#" in url:
        raise _invalid("must hold no fragment (#...): it would never be sent")
    return parts


def _host(parts: SplitResult) -> str:
    host = (parts.hostname or "").rstrip(".")
    if not host or "%" in host:
        raise _invalid("names no valid host")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    labels = host.split(".")
    if len(host) > MAX_HOST or not all(map(_is_label, labels)) or labels[-1].isdigit():
        raise _invalid("names no valid host")
    return host


def _is_label(label: str) -> bool:
    letters = label.replace("-", "").replace("_", "")
    return 1 <= len(label) <= 63 and letters.isalnum() and label[0] != "-" and label[-1] != "-"


def _port(parts: SplitResult) -> int | None:
    try:
        port = parts.port
    except ValueError:
        raise _invalid("names no valid port") from None
    if port == 0:
        raise _invalid("names no valid port")
    return port


def _with_ascii_host(url: str) -> str:
    """Return the address with its host as IDNA writes it; all else must be ASCII already."""
    host = _parts(url).hostname or ""
    try:
        ascii_host = host.encode("idna").decode()
    except UnicodeError:
        raise _invalid("names no valid host") from None
    before, _, after = url.partition("://")
    location, slash, rest = after.partition("/")
    _, colon, port = location.rpartition(":")
    made = f"{before}://{ascii_host}{colon + port if colon else ''}{slash}{rest}"
    if not made.isascii() or not made.isprintable() or " " in made or "\\" in made:
        raise _invalid("must be ASCII: percent-encode what is not")
    return made


def _invalid(problem: str) -> InvalidEndpoint:
    # Not the address itself: it may hold a password, and errors are logged.
    return InvalidEndpoint("url", problem)

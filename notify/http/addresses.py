"""Judges where a URL leads: to the public internet, or to a network that the operator allows.

Every address of a name must pass, or none is used: with one that does not, whoever owns the name
would choose by chance. Who connects, connects to what was judged and does not look the name up
again (`connections.py`): a second answer could be another (DNS rebinding).

`ipaddress.is_global` alone lets pass multicast, addresses that carry an IPv4 address, and what
newer registries reserve: for IPv6 the rule here is "within 2000::/3, and nothing special in it"
(IANA IPv6 Special-Purpose Address Registry).
"""

import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from urllib.parse import urlsplit

import settings
from errors import PermanentError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host for a port, or raises `OSError`; may take its time."""

HOST_MAX_LENGTH = 253
MOST_ADDRESSES = 16
"""Of a name; one with more is not judged at such length and refused."""


class Refused(PermanentError):
    """The URL is not called; the message says why, and names neither path nor query."""


@dataclass(frozen=True)
class Allowed:
    """Where notices may go beside the public internet."""

    networks: tuple[Network, ...] = ()
    """By `NOTICE_ALLOW_CIDRS`: a platform in our own network."""
    loopback: bool = False
    """This computer, and without TLS: in the development stack alone."""

    @classmethod
    def by_settings(cls) -> "Allowed":
        """Return what the settings of this process say."""
        given = settings.get()
        return cls(given.notice_allow_cidrs, loopback=given.is_development_stack)


@dataclass(frozen=True)
class Destination:
    """Where a URL leads, in parts that are safe to write into a request."""

    is_tls: bool
    host: str
    """A name or an address, in ASCII and lower case."""
    port: int
    target: str
    """Path and query."""

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


def destination(url: str, allowed: Allowed) -> Destination:
    """Take a URL to pieces. Raises `Refused` unless it is https, or http where that is allowed."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise Refused("the URL cannot be read") from None
    if parts.scheme not in {"https", "http"} or (parts.scheme == "http" and not allowed.loopback):
        raise Refused("the URL must start with https://")
    if parts.username is not None or parts.password is not None:
        raise Refused("the URL must hold no user and password")
    if not _HOST(host) or len(host) > HOST_MAX_LENGTH:
        raise Refused("the host must be a name in ASCII (an international one as xn--...)")
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    if not _TARGET(target):
        raise Refused("path and query must be ASCII without blanks: percent-encode the rest")
    is_tls = parts.scheme == "https"
    return Destination(is_tls, host, port or (443 if is_tls else 80), target)


def judged(to: Destination, allowed: Allowed, found: Sequence[str]) -> list[str]:
    """Return the addresses that were `found` for a destination, if it may be called.

    Raises `Refused` if there is none, if any is neither global nor allowed, or if what is called
    without TLS is not this computer.
    """
    addresses = [_address(text) for text in dict.fromkeys(found)]
    if not addresses or len(addresses) > MOST_ADDRESSES:
        raise Refused(f"the name has {len(addresses) or 'no'} addresses")
    if not to.is_tls and not all(address.is_loopback for address in addresses):
        raise Refused("the URL must start with https://: http is for this computer alone")
    if not all(_may_be_called(address, allowed) for address in addresses):
        raise Refused("the name leads to an address that is not public (NOTICE_ALLOW_CIDRS)")
    return [str(address) for address in addresses]


def require_callable(url: str, allowed: Allowed) -> None:
    """Raise `Refused` for a URL that no call would ever go to, without looking a name up.

    An address instead of a name is judged now; where a name leads is judged at each call.
    """
    to = destination(url, allowed)
    try:
        ipaddress.ip_address(to.host)
    except ValueError:
        return
    judged(to, allowed, [to.host])


class Lookups:
    """Looks names up in threads of its own: a resolver that hangs delays nobody past his deadline.

    While one look-up of a name is under way, others of it wait for the same one: a name server that
    hangs costs a thread for each name and not for each call.
    """

    def __init__(self, resolve: Resolver | None = None) -> None:
        """`resolve` asks; the system's resolver by default."""
        self._resolve = resolve or by_the_system
        self._under_way: dict[tuple[str, int], Future[Sequence[str]]] = {}
        self._lock = threading.Lock()

    def find(self, host: str, port: int, *, seconds: float) -> Sequence[str]:
        """Return the addresses of `host`; raises `Refused` for none, or none in `seconds`."""
        try:
            return self._lookup(host, port).result(timeout=seconds)
        except TimeoutError:
            raise Refused("the name cannot be resolved: its server does not answer") from None
        except (OSError, UnicodeError):
            raise Refused("the name cannot be resolved") from None

    def _lookup(self, host: str, port: int) -> "Future[Sequence[str]]":
        key = (host, port)
        with self._lock:
            future = self._under_way.get(key)
            if future is None:
                future = self._under_way[key] = Future()
                threading.Thread(
                    target=self._run, args=(key, future), name="lookup", daemon=True
                ).start()
        return future

    def _run(self, key: tuple[str, int], future: "Future[Sequence[str]]") -> None:
        found: Sequence[str] = ()
        problem: OSError | UnicodeError | None = None
        try:
            found = self._resolve(*key)
        except (OSError, UnicodeError) as error:
            problem = error
        with self._lock:
            del self._under_way[key]
        if problem is None:
            future.set_result(found)
        else:
            future.set_exception(problem)


def by_the_system(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host in the order in which they are to be tried (RFC 6724)."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(address[0]) for *_, address in found]


_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+").fullmatch
_TARGET = re.compile(r"/[!-~]*").fullmatch

_IPV6_PUBLIC = ipaddress.IPv6Network("2000::/3")
_IPV6_SPECIAL = tuple(
    ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "3fff::/20")
)
_IPV4_SPECIAL = (
    ipaddress.IPv4Network("192.88.99.0/24"),
    ipaddress.IPv4Network("168.63.129.16/32"),  # Azure answers its virtual machines there
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")


def _address(text: str) -> Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise Refused("the name has an address that cannot be read") from None


def _may_be_called(address: Address, allowed: Allowed) -> bool:
    if any(address in network for network in allowed.networks):
        return True
    if carried := list(_carried(address)):
        return all(_may_be_called(inner, allowed) for inner in carried)
    if address.is_loopback:
        return allowed.loopback
    return _is_public(address)


def _carried(address: Address) -> Iterator[ipaddress.IPv4Address]:
    """Yield the IPv4 addresses that an IPv6 address leads to."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    last = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo
    elif address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        yield last


def _is_public(address: Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _IPV4_SPECIAL)
    return address in _IPV6_PUBLIC and not any(address in network for network in _IPV6_SPECIAL)

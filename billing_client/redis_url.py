"""Reads the address of the broker; the back office reads its own by the same grammar.

redis://user:password@host:6379/0                    one server
rediss://...                                         with TLS: its certificate is verified
unix:///path?db=0                                    a socket, as redis-py writes it
redis+socket:///path?virtual_host=0                  the same, as Celery writes it
sentinel://user:password@host,host:26379/0?master_name=NAME   the master of these Sentinels
sentinel://host;sentinel://host/0?master_name=NAME   the same, as Celery writes it
sentinels://...                                      with TLS, to the Sentinels too
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qsl, unquote

SCHEMES = ("redis", "rediss", "unix", "redis+socket", "sentinel", "sentinels")
REDIS_PORT = 6379
SENTINEL_PORT = 26379

_SOCKETS = ("unix", "redis+socket")
_SENTINELS = ("sentinel", "sentinels")
_TLS = ("rediss", "sentinels")
_OF_SOCKETS = ("db", "virtual_host", "username", "password")
_OF_SENTINELS = ("master_name", "sentinel_username", "sentinel_password")
_OF_TLS = (
    "ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname",
)  # fmt: skip
_CERT_REQS = {
    "required": "required", "optional": "optional", "none": "none",
    "cert_required": "required", "cert_optional": "optional", "cert_none": "none",
}  # fmt: skip
"""redis-py's spelling, and Celery's."""
_HINT = "in a user or password write % as %25, @ as %40, # as %23, / as %2F, ? as %3F and [ as %5B"
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_REST = re.compile(r"([^/?#]*)((?:/[^?#]*)?)(?:\?([^#]*))?")
_NAME = re.compile("[A-Za-z0-9._-]*")
"""Of a master: "The valid charset is A-z 0-9 and the three characters .-_" (sentinel.conf)."""
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]@,;:/?#%\s]+)(?::([0-9]+))?")


@dataclass(frozen=True)
class Tls:
    """How a server is verified, and what it is shown."""

    cert_reqs: str = "required"
    """`required`, `optional` or `none`."""
    check_hostname: bool = True
    ca_certs: str | None = None
    """A file; None: the authorities that the system trusts."""
    certfile: str | None = None
    keyfile: str | None = None


@dataclass(frozen=True)
class RedisAddress:
    """Where Redis is: `hosts`, or the `socket_path`, or the `hosts` of Sentinels that know."""

    hosts: tuple[tuple[str, int], ...] = ()
    socket_path: str = ""
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: Tls | None = None
    master_name: str = ""
    """What the Sentinels at `hosts` call the master; empty: the one of `hosts` is the server."""
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)


def read(url: str) -> RedisAddress:
    """Return what an address says. Raises `ValueError`, with nothing of its secrets."""
    scheme, separator, text = url.strip().partition("://")
    if not separator or scheme not in SCHEMES:
        raise ValueError("must start with redis://, rediss://, unix:// or sentinel://")
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError("must hold no line ends or control characters")
    if scheme in _SENTINELS:
        text = _as_one_list(scheme, text)
    user, password, address = _part_user(scheme, text)
    if not user and not password:
        return address
    return replace(address, username=unquote(user), password=unquote(password))


def _part_user(scheme: str, text: str) -> tuple[str, str, RedisAddress]:
    """Return user, password and the rest, if that can be read in one way only.

    By the book user and password end at the last @ before any of / ? #; as people paste a
    password, at the last @ of all.
    """
    authority = re.split("[/?#]", text, maxsplit=1)[0]
    ends = list(dict.fromkeys((authority.rfind("@"), text.rfind("@"))))
    found: list[tuple[str, str, RedisAddress]] = []
    problem = ValueError()
    for end in ends:
        user, _, password = text[: max(end, 0)].partition(":")
        try:
            if re.search("[/?#]", user):
                raise ValueError(_HINT)
            found.append((user, password, _read_rest(scheme, text[end + 1 :])))
        except ValueError as error:
            problem = error
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"can be read in two ways: {_HINT}")
    if len(ends) > 1:
        raise ValueError(f"cannot be read: {_HINT}")
    raise problem


def _as_one_list(scheme: str, text: str) -> str:
    """Return Celery's list of Sentinels, each an address of its own, as hosts with commas."""
    first, *others = text.split(f";{scheme}://")
    hosts = [first]
    for other in others:
        user, at, host = other.rpartition("@")
        if at and not first.startswith(f"{user}@"):
            raise ValueError("all Sentinels in the list must have the same user and password")
        hosts.append(host)
    found = [re.search("/[0-9]*(?=[?]|$)", host) for host in hosts]
    if len({number[0] for number in found if number}) > 1:
        raise ValueError("all Sentinels in the list must have the same database number")
    return ",".join([*(re.sub("/[0-9]*$", "", host) for host in hosts[:-1]), hosts[-1]])


def _read_rest(scheme: str, text: str) -> RedisAddress:
    match = _REST.fullmatch(text)
    if match is None:
        raise ValueError("must be redis://user:password@host:port/number")
    written, path, query = match.groups()
    given = _parameters(scheme, query)
    if scheme in _SOCKETS:
        return _socket(written, unquote(path), given)
    names_sentinels = scheme in _SENTINELS
    port = SENTINEL_PORT if names_sentinels else REDIS_PORT
    hosts = tuple(_read_host(host, port) for host in written.split(","))
    if names_sentinels and not given.get("master_name"):
        raise ValueError("must end in ?master_name=NAME, the name that the Sentinels have for it")
    if len(hosts) > 1 and not names_sentinels:
        raise ValueError("redis:// takes one host; several Sentinels are sentinel://host,host/0")
    return RedisAddress(
        hosts=hosts,
        db=_number(path.removeprefix("/"), given.get("db")),
        tls=_tls(given) if scheme in _TLS else None,
        master_name=given.get("master_name", ""),
        sentinel_username=given.get("sentinel_username", ""),
        sentinel_password=given.get("sentinel_password", ""),
    )


def _socket(host: str, path: str, given: Mapping[str, str]) -> RedisAddress:
    if host.startswith("%2F"):
        host, path = "", unquote(host) + path
    if host or len(path) < 2:
        raise ValueError("must be unix:///path?db=0")
    return RedisAddress(
        socket_path=path,
        db=_number(given.get("virtual_host"), given.get("db")),
        username=given.get("username", ""),
        password=given.get("password", ""),
    )


def _read_host(text: str, port: int) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    if match is None or not 1 <= int(match[2] or port) <= 65535:
        raise ValueError("needs a host, and the port must be a number up to 65535")
    return match[1].strip("[]"), int(match[2] or port)


def _number(*given: str | None) -> int:
    numbers = {number for number in given if number}
    if len(numbers) > 1 or not all(re.fullmatch("[0-9]{1,5}", number) for number in numbers):
        raise ValueError("the database must be one number, as in redis://host/0")
    return int(numbers.pop()) if numbers else 0


def _parameters(scheme: str, query: str | None) -> dict[str, str]:
    known = {
        "unix": _OF_SOCKETS, "redis+socket": _OF_SOCKETS, "rediss": ("db", *_OF_TLS),
        "sentinel": ("db", *_OF_SENTINELS), "sentinels": ("db", *_OF_SENTINELS, *_OF_TLS),
    }.get(scheme, ("db",))  # fmt: skip
    if not query:
        return {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise ValueError("what follows the ? must be name=value&name=value") from None
    for name, _ in pairs:
        if name not in known:
            shown = f" {name!r}" if re.fullmatch("[A-Za-z_]{1,40}", name) else ""
            raise ValueError(f"unknown parameter{shown}: {scheme}:// takes {', '.join(known)}")
    given = dict(pairs)
    if len(given) < len(pairs):
        raise ValueError("has a parameter twice")
    if not _NAME.fullmatch(given.get("master_name", "m")):
        raise ValueError(
            "the master_name may hold letters, digits and . - _, and parameters stand once, at the"
            " end"
        )
    return given


def _tls(given: Mapping[str, str]) -> Tls:
    cert_reqs = _CERT_REQS.get(given.get("ssl_cert_reqs", "required").lower())
    if cert_reqs is None:
        raise ValueError("ssl_cert_reqs must be required, optional or none")
    check_hostname = _BOOLEANS.get(given.get("ssl_check_hostname", "true").lower())
    if check_hostname is None:
        raise ValueError("ssl_check_hostname must be true or false")
    files = {name: given.get(f"ssl_{name}") for name in ("ca_certs", "certfile", "keyfile")}
    for name, file in files.items():
        if file is not None and not Path(file).is_file():
            raise ValueError(f"ssl_{name} is not a file")
    return Tls(cert_reqs, check_hostname and cert_reqs != "none", **files)

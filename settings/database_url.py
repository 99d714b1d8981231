"""Reads an address of PostgreSQL as people write it, and returns it as SQLAlchemy takes it.

libpq has more forms than SQLAlchemy: several hosts before the slash, and a socket's folder as the
host (postgresql.org/docs/current/libpq-connect.html, "Connection URIs"). All become one:
`postgresql+psycopg2://user:password@/name?host=a,b&port=1,2`, which libpq reads as well.
"""

import re
from urllib.parse import parse_qsl, quote, unquote, urlencode

from settings import userinfo

SCHEMES = ("postgresql", "postgres", "postgresql+psycopg2")
DRIVER = "postgresql+psycopg2"
"""SQLAlchemy 2.1 reads a plain `postgresql://` as psycopg 3, which is not installed."""

_PARAMETERS = frozenset({
    "application_name", "channel_binding", "client_encoding", "connect_timeout", "dbname",
    "fallback_application_name", "gssdelegation", "gssencmode", "gsslib", "host", "hostaddr",
    "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname",
    "load_balance_hosts", "max_protocol_version", "min_protocol_version", "options", "passfile",
    "password", "port", "replication", "require_auth", "requirepeer", "requiressl",
    "scram_client_key", "scram_server_key", "service", "servicefile",
    "ssl_max_protocol_version", "ssl_min_protocol_version", "sslcert", "sslcertmode",
    "sslcompression", "sslcrl", "sslcrldir", "sslkey", "sslkeylogfile", "sslmode",
    "sslnegotiation", "sslpassword", "sslrootcert", "sslsni", "target_session_attrs",
    "tcp_user_timeout", "user",
})  # fmt: skip
"""libpq's, up to PostgreSQL 18: "Parameter Key Words"."""
_REST = re.compile(r"([^/?#]*)(?:/([^/?#@]*))?(?:\?([^#]*))?")
_HOST = re.compile(r"(\[[^\[\]@,/?#]+\]|[^\[\]@,:/?#\s]*)(?::([0-9]*))?")


def read(url: str) -> str:
    """Return the address in the one form. Raises `ValueError`, without any of the address."""
    scheme, separator, text = url.partition("://")
    if not separator or scheme not in SCHEMES:
        raise ValueError("must start with postgresql://")
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError("must hold no line ends or control characters")
    user, rest = userinfo.part(text, _read_rest)
    return f"{DRIVER}://{user}{'@' if user else ''}{rest}"


def _read_rest(text: str) -> str:
    match = _REST.fullmatch(text)
    if match is None:
        raise ValueError("must be postgresql://user:password@host:port/name")
    written, name, query = match.groups()
    parameters = _parameters(query)
    if name is not None and "%" in name:
        name = unquote(name)  # SQLAlchemy does not
        if "?" in name:
            raise ValueError("the name of the database must not hold a ?")
    hosts = [_read_host(host) for host in written.split(",")]
    in_query = [value for key, value in parameters if key == "host"]
    if len(in_query) > 1 or any(":" in host and host[0] != "/" for host in in_query):
        hosts = [_read_host(host) for value in in_query for host in value.split(",")]
        parameters = [(key, value) for key, value in parameters if key != "host"]
        if any(key == "port" for key, _ in parameters):
            raise ValueError("write each port once: host=a:1&host=b:2, or host=a,b&port=1,2")
    elif len(hosts) == 1 and not hosts[0][0].startswith("/"):
        return text if name is None else _with_name(text, written, name, query)
    several = [("host", ",".join(host for host, _ in hosts))]
    if any(port for _, port in hosts):
        several.append(("port", ",".join(port for _, port in hosts)))
    rest = urlencode([*several, *parameters], quote_via=quote, safe=",")
    return f"/{name or ''}?{rest}"


def _with_name(text: str, written: str, name: str, query: str | None) -> str:
    return f"{written}/{name}" + ("" if query is None else text[text.index("?") :])


def _read_host(text: str) -> tuple[str, str]:
    match = _HOST.fullmatch(text)
    if match is None or (match[2] and not 1 <= int(match[2]) <= 65535):
        raise ValueError("the port must be a number up to 65535, and an IPv6 address in [ ]")
    return unquote(match[1]).strip("[]"), match[2] or ""


def _parameters(query: str | None) -> list[tuple[str, str]]:
    if not query:
        return []
    try:
        parameters = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise ValueError("what follows the ? must be name=value&name=value") from None
    for name, value in parameters:
        if name not in _PARAMETERS:
            shown = f" {name!r}" if re.fullmatch("[A-Za-z_]{1,40}", name) else " of that name"
            raise ValueError(f"PostgreSQL knows no parameter{shown}")
        if name == "port" and not re.fullmatch("[0-9]{0,5}(,[0-9]{0,5})*", value):
            raise ValueError("the port must be a number up to 65535")
    return parameters

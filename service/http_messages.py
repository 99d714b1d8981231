"""HTTP messages between `service/asgi.py` and Flask: a request's head, and an answer.

The head is judged from the raw pairs of the server: a joined header does not show that it came
twice, and two programs on the way of a request may have read different ones of the two.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from service import request_ids

Environ = dict[str, Any]
WsgiApp = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Pairs = Sequence[tuple[bytes, bytes]]

ONCE = frozenset(
    {
        "authorization",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
    }
)
"""Headers that may come once at every server; each adds those that it reads itself."""
REQUEST_ID = "billing.request_id"
"""In the environ: the id of the request (`service/request_ids.py`)."""


class Refused(Exception):
    """A request that no application sees: `detail` says what its sender has to change."""

    def __init__(self, status: int, detail: str, *, kind: str | None = None) -> None:
        """`kind` distinguishes the causes of a status for programs."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


@dataclass(frozen=True)
class HeaderRules:
    """The headers that may come once, and those of them that must not hold a comma: lower case.

    A proxy may join two lines by a comma, and then nobody sees that there were two.
    """

    once: frozenset[str] = ONCE
    without_comma: frozenset[str] = frozenset()


def request_id_of(scope: Mapping[str, Any]) -> str:
    """Return the id of a request: that of its header if it is sane and came once, else a new one.

    Joined by a comma, as a proxy may have done, two ids are no sane one.
    """
    given = [value for name, value in scope["headers"] if name.lower() == _REQUEST_ID_HEADER]
    return request_ids.of_headers([value.decode("latin-1") for value in given])


def environ_of(scope: Mapping[str, Any], rules: HeaderRules) -> Environ:
    """Return a request without its body as WSGI's environ (PEP 3333).

    Raises `Refused` 400 for a header that came twice or holds a comma against the rules.
    """
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        # PEP 3333: the bytes of the path, each as one character.
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": scope["server"][0],
        "SERVER_PORT": str(scope["server"][1]),
        "REMOTE_ADDR": scope["client"][0],
        "REMOTE_PORT": str(scope["client"][1]),
        "asgi.state": scope.get("state", {}),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").lower()
        if "_" in name:  # would pass for the header with a hyphen, which may be there as well
            continue
        value = raw_value.decode("latin-1")
        if name in rules.without_comma and "," in value:
            raise Refused(400, f"the header {name} must not hold a comma: send it once")
        variable = name.upper().replace("-", "_")
        if variable not in _WITHOUT_PREFIX:
            variable = f"HTTP_{variable}"
        if variable in environ:
            if name in rules.once:
                raise Refused(400, f"the header {name} was sent twice: send it once")
            joint = "; " if name == "cookie" else ","
            value = f"{environ[variable]}{joint}{value}"
        environ[variable] = value
    return environ


def put_body(environ: Environ, body: bytes) -> None:
    """Put the whole body into the environ, however it was framed on its way."""
    environ["wsgi.input"] = BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    environ.pop("HTTP_TRANSFER_ENCODING", None)


def answer_of(app: WsgiApp, environ: Environ) -> Answer:
    """Call a WSGI application in this thread, under the request's id; return its whole answer."""
    with request_ids.bound(environ.get(REQUEST_ID)):
        return _answer_of(app, environ)


def _answer_of(app: WsgiApp, environ: Environ) -> Answer:
    begun: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> None:
        begun[:] = int(status[:3]), headers

    pieces = app(environ, start_response)
    try:
        body = b"".join(pieces)
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
    return Answer(begun[0], begun[1], body)


def plain_answer(status: int) -> Answer:
    """Return an answer without anything of the application."""
    text = HTTPStatus(status).phrase.encode()
    return Answer(status, [("Content-Type", "text/plain")], text)


_REQUEST_ID_HEADER = request_ids.HEADER.lower().encode()
_WITHOUT_PREFIX = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})

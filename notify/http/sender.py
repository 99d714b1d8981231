"""One request and what came of it, in the words that the rules judge. Never raises.

Called by threads of `tasks/notices/`; the answers of strangers go no further than the first
kilobyte that `Answer.head` keeps.
"""

import http.client
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Self

import structlog

import clock
from billing.notices import Answer
from notify.http.addresses import (
    Allowed,
    Destination,
    Lookups,
    Refused,
    Resolver,
    destination,
    judged,
)
from notify.http.connections import (
    MOST_BYTES,
    Connection,
    Deadline,
    Idle,
    Incoming,
    NotConnected,
    TooLong,
    opened,
    trusting_the_system,
)

WHOLE_SECONDS = 15.0
KEPT_BYTES = 1024
LONGEST_RETRY_AFTER = timedelta(hours=24)

log = structlog.get_logger()


class Sender:
    """Posts to strangers; one for all threads of a process, made after its fork.

    As a context it closes at its end the connections that it keeps.
    """

    def __init__(
        self,
        allowed: Allowed,
        *,
        resolve: Resolver | None = None,
        context: ssl.SSLContext | None = None,
        whole_seconds: float = WHOLE_SECONDS,
    ) -> None:
        """`resolve` and `context` replace the system's resolver and its trusted certificates."""
        self._allowed = allowed
        self._lookups = Lookups(resolve)
        self._context = context or trusting_the_system()
        self._whole_seconds = whole_seconds
        self._idle = Idle()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._idle.close()

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post `body` once and return what came of it, within 15 seconds."""
        began = time.monotonic()
        status: int | None = None
        error: str | None = None
        retry_after: timedelta | None = None
        head = b""
        try:
            to = destination(url, self._allowed)
            deadline = Deadline(self._whole_seconds)
            status, retry_after, head = self._exchange(to, _request(to, headers, body), deadline)
            error = _words_of_status(status)
        except Exception as problem:  # noqa: BLE001 - one endpoint's must not end the others' calls
            error = _words(problem)
        ms = round(1000 * (time.monotonic() - began))
        return Answer(status, error, retry_after, head, ms)

    def _exchange(
        self, to: Destination, request: bytes, deadline: Deadline
    ) -> tuple[int, timedelta | None, bytes]:
        connection = self._idle.take(to)
        if connection is not None:
            try:
                return self._ask(connection, to, request, deadline)
            except _ClosedMeanwhile:
                pass  # the other side may see the request twice, under one id
        return self._ask(self._open(to, deadline), to, request, deadline)

    def _open(self, to: Destination, deadline: Deadline) -> Connection:
        found = self._lookups.find(to.host, to.port, seconds=deadline.left())
        return opened(to, judged(to, self._allowed, found), self._context, deadline)

    def _ask(
        self, connection: Connection, to: Destination, request: bytes, deadline: Deadline
    ) -> tuple[int, timedelta | None, bytes]:
        keep = False
        incoming = connection.answer(deadline)
        try:
            try:
                connection.send(request, deadline)
                response = _final(incoming)
            except (ConnectionError, ssl.SSLEOFError) as error:
                if incoming.has_begun:
                    raise
                raise _ClosedMeanwhile from error
            head, keep = _read(response)
            return response.status, _retry_after(response.headers.get("retry-after")), head
        finally:
            if keep:
                self._idle.keep(connection, to)
            else:
                connection.close()


class _ClosedMeanwhile(ConnectionError):
    """The other side closed the connection before it began to answer."""


@cache
def _user_agent() -> str:
    # Not at import: the module is read where nothing is installed as a distribution too.
    return f"credit-billing-notices/{version('credit-billing-workers')}"


def _request(to: Destination, headers: Mapping[str, str], body: bytes) -> bytes:
    all_headers = {
        "Host": to.authority,
        "User-Agent": _user_agent(),
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **headers,
    }
    lines = [
        f"POST {to.target} HTTP/1.1",
        *(f"{name}: {text}" for name, text in all_headers.items()),
    ]
    if any("\r" in line or "\n" in line for line in lines):
        raise Refused("a header must be one line")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _final(incoming: Incoming) -> http.client.HTTPResponse:
    """Return the head of the answer, after those that announce it (103; RFC 9110, 15.2)."""
    while True:
        response = http.client.HTTPResponse(incoming, method="POST")  # type: ignore[arg-type]
        response.begin()
        if response.status == HTTPStatus.SWITCHING_PROTOCOLS or response.status >= 200:
            return response
        # Not at its end: it would close the reader of what follows.
        response.fp = None  # type: ignore[assignment]


def _read(response: http.client.HTTPResponse) -> tuple[bytes, bool]:
    """Return the beginning of the body, and whether the connection can be used again.

    The status has said what counts: a body that breaks off, hangs or is too long changes nothing.
    """
    head = b""
    try:
        while part := response.read1(MOST_BYTES):
            head += part[: KEPT_BYTES - len(head)]
    except (OSError, http.client.HTTPException, TooLong, ValueError):
        return head, False
    is_whole = response.isclosed() if response.chunked else response.length == 0
    is_final = response.status >= 200
    return head, is_whole and is_final and not response.will_close


def _retry_after(text: str | None) -> timedelta | None:
    """Return what a Retry-After header asks for (RFC 9110, 10.2.3); None for nonsense."""
    if not text or len(text) > 50 or not text.isascii():
        return None
    if text.isdecimal():
        return timedelta(seconds=min(int(text), LONGEST_RETRY_AFTER.total_seconds()))
    try:
        at = parsedate_to_datetime(text)
        wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - clock.real_now()
    except (ValueError, OverflowError):
        return None
    return min(wait, LONGEST_RETRY_AFTER) if wait > timedelta(0) else None


_CERTIFICATE_WORDS = {
    10: "has expired",
    18: "is signed by itself",
    19: "is signed by nobody known",
    20: "is signed by nobody known",
    21: "is signed by nobody known",
    62: "is for another name",
    64: "is for another address",
}
"""X509_V_ERR_*, of OpenSSL's x509_vfy.h."""


_WORDS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (TimeoutError, f"no answer within {WHOLE_SECONDS:g} seconds"),
    (TooLong, "the head of the answer is longer than 64 KiB"),
    (ssl.SSLError, "TLS failed"),
    (_ClosedMeanwhile, "the connection was closed before an answer"),
    ((http.client.HTTPException, ValueError), "the answer is not HTTP"),
    (OSError, "the connection broke"),
)


def _words_of_status(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    return f"status {status}, not followed" if 300 <= status < 400 else f"status {status}"


def _words(problem: Exception) -> str:
    """Return what went wrong, in our words: those of libraries may repeat a stranger's."""
    if isinstance(problem, Refused | NotConnected):
        return str(problem)
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"the certificate {_CERTIFICATE_WORDS.get(problem.verify_code, 'is not valid')}"
    for kinds, words in _WORDS:
        if isinstance(problem, kinds):
            return words
    log.error("notice not sent by a fault of ours", error=type(problem).__name__)
    return f"a fault of ours ({type(problem).__name__})"

"""The door between the HTTP server and Flask: whole messages pass, broken ones are refused here.

granian's WSGI gives a cut body as a whole one, joins doubled headers, and holds a thread while a
body comes in; its ASGI does neither (docs/decisions/0010-asgi-adapter.md). `Adapter` reads head and
body on the event loop, up to a limit and a deadline, and only then has the application called. An
idle connection or half a body costs a few kilobytes, and no thread.

Each request gets its id here, and each answer the header with it, also one to a request that no
application sees.

Used by `api/server.py` and `webhook_receiver/server.py`, which say how the application is called
and what a refusal looks like.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from service import request_ids
from service.http_messages import (
    REQUEST_ID,
    Answer,
    Environ,
    HeaderRules,
    Refused,
    environ_of,
    plain_answer,
    put_body,
    request_id_of,
)

log = structlog.get_logger()

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

BODY_SECONDS = 10.0
"""How long a body may take from its head to its last byte."""
SMALL_BODY_BYTES = 64 * 1024
LARGE_BODIES_BYTES = 64 * 1024 * 1024
"""Of all bodies of a process that are being read and are no longer small, together."""
LINGER_SECONDS = 2.0
LINGER_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Door:
    """What is the server's own: its limits, how it calls Flask, what a refusal looks like."""

    call: Callable[[Environ], Awaitable[Answer]]
    """Call the application with a whole request; may raise `Refused`."""
    refuse: Callable[[Refused, str], Answer]
    """The answer to a refused request for a path; also logs it. Called under the request's id."""
    max_body_bytes: int
    headers: HeaderRules
    body_seconds: float = BODY_SECONDS


class Adapter:
    """The ASGI application that granian calls for each request; `--interface asginl --http 1`."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._large_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request_id = request_id_of(scope)
        send = _naming(request_id, send)
        try:
            environ = environ_of(scope, self._door.headers)
            environ[REQUEST_ID] = request_id
            put_body(environ, await self._body(environ, receive))
        except Refused as refused:
            answer = self._refusal(refused, scope, request_id)
            await self._refuse_unread(answer, scope, receive, send)
            return
        except _Cut:
            cut = Refused(400, "the body ended early: the connection was closed before all of it")
            await _send(send, self._refusal(cut, scope, request_id), closing=True)
            return
        await _send(send, await self._answer(environ, scope, request_id))

    async def _answer(self, environ: Environ, scope: Scope, request_id: str) -> Answer:
        try:
            return await self._door.call(environ)
        except Refused as refused:
            return self._refusal(refused, scope, request_id)
        except Exception as error:  # noqa: BLE001 - Flask answers its own; this is the last resort
            with request_ids.bound(request_id):
                log.error("request failed", error=type(error).__name__)
            return plain_answer(500)

    def _refusal(self, refused: Refused, scope: Scope, request_id: str) -> Answer:
        with request_ids.bound(request_id):
            return self._door.refuse(refused, scope["path"])

    async def _body(self, environ: Environ, receive: Receive) -> bytes:
        """Read a body to its end; raise `Refused` 408, 413 or 503, or `_Cut`."""
        announced = _announced_bytes(environ)
        if announced == 0:
            return b""
        if announced is not None and announced > self._door.max_body_bytes:
            raise self._too_long()
        try:
            async with asyncio.timeout(self._door.body_seconds):
                return await self._pieces(announced, receive)
        except TimeoutError:
            raise Refused(
                408, f"the body did not come within {self._door.body_seconds:g} seconds"
            ) from None

    async def _pieces(self, announced: int | None, receive: Receive) -> bytes:
        pieces: list[bytes] = []
        length = large = 0
        try:
            while length != announced:
                message = await receive()
                if message["type"] != "http.request":
                    raise _Cut
                piece = message["body"]
                length += len(piece)
                if length > self._door.max_body_bytes:
                    raise self._too_long()
                if length > SMALL_BODY_BYTES:
                    large += len(piece)
                    self._large_bytes += len(piece)
                    if self._large_bytes > LARGE_BODIES_BYTES:
                        raise Refused(503, "too many large bodies at once: send it again later")
                pieces.append(piece)
                if not message["more_body"]:
                    break
        finally:
            self._large_bytes -= large
        if announced is not None and length != announced:
            raise _Cut
        return b"".join(pieces)

    def _too_long(self) -> Refused:
        return Refused(413, f"the body must be at most {self._door.max_body_bytes} bytes")

    async def _refuse_unread(
        self, answer: Answer, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Refuse at once, with `Connection: close`; read some of the body after the answer.

        Many clients look for an answer only after they have sent everything. One that expects to
        be asked for its body has sent none, and reading would ask for it.
        """
        if any(name == b"expect" for name, _ in scope["headers"]):
            await _send(send, answer, closing=True)
            return
        await _send(send, answer, closing=True, unfinished=True)
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                left = LINGER_BYTES
                while left > 0:
                    message = await receive()
                    if not message.get("more_body"):
                        break
                    left -= len(message["body"])
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Cut(Exception):
    """The connection, or the framing of a chunked body, ended inside of a body."""


def _naming(request_id: str, send: Send) -> Send:
    """Return `send` that adds the request's id to the head of the answer."""
    header = (_REQUEST_ID_HEADER, request_id.encode())

    async def send_with_id(event: dict[str, Any]) -> None:
        if event["type"] == "http.response.start":
            event["headers"].append(header)
        await send(event)

    return send_with_id


_REQUEST_ID_HEADER = request_ids.HEADER.lower().encode()


def _announced_bytes(environ: Environ) -> int | None:
    """Return how long the body is to be; None for a chunked one. Raises `Refused` 400."""
    length = environ.get("CONTENT_LENGTH")
    if "HTTP_TRANSFER_ENCODING" in environ:
        if length is not None:
            raise Refused(400, "send Content-Length or Transfer-Encoding, not both")
        return None
    if length is None:
        return 0
    if not (length.isascii() and length.isdecimal()):
        raise Refused(400, "the Content-Length must be a number")
    return int(length)


async def _send(
    send: Send, answer: Answer, *, closing: bool = False, unfinished: bool = False
) -> None:
    """Send an answer; `unfinished`: its end is still to be sent, so its length is not announced.

    The server stops reading after the last announced byte of an answer.
    """
    headers = [
        (name.encode(), value.encode("latin-1"))
        for name, value in ((name.lower(), value) for name, value in answer.headers)
        if not (unfinished and name == "content-length")
    ]
    if not unfinished and all(name != b"content-length" for name, _ in headers):
        headers.append((b"content-length", b"%d" % len(answer.body)))
    if closing:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": unfinished})

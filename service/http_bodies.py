"""How every server reads the body of a request: up to a limit, and as strict JSON.

Used by the API (`api/json_body.py`, `api/problems.py`) and the webhook receiver. A body that is too
long is refused with 413, in a way that its sender notices.
"""

import json
import time
from collections.abc import Iterator
from typing import IO, Any

from flask import Flask, Request, Response
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

LINGER_BYTES = 16 * 1024 * 1024
LINGER_SECONDS = 2


def limit_bodies(app: Flask, *, max_bytes: int) -> None:
    """Have the app read no more of a body than `read_body` needs to refuse it."""
    # One more: a body of unannounced length is cut there without an error (werkzeug 3.1).
    app.config["MAX_CONTENT_LENGTH"] = max_bytes + 1


def read_body(request: Request, *, max_bytes: int) -> bytes:
    """Return the body as it was sent, the same at each call; raises 413 if it is longer."""
    body = request.get_data()
    if len(body) > max_bytes:
        raise RequestEntityTooLarge
    return body


def read_on_after(response: Response, request: Request) -> None:
    """Have `response` sent at once, and some of the refused body read and dropped after it.

    Many clients look for an answer only after they have sent everything.
    """
    # Taken now: the request is gone when the answer is sent.
    response.response = _answer_then_read(response.get_data(), request.environ["wsgi.input"])


def json_text(body: bytes) -> str:
    """Return the text of a JSON body for a parser that does not see a field given twice.

    Whoever looked at the request on its way may have read the first of the two. Raises 400 for
    such a body and for one that is not UTF-8. Text that is not JSON is left to the parser.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise BadRequest("the body must be UTF-8") from None
    if _has_a_field_twice(text):
        raise BadRequest("the body has the same field twice")
    return text


def is_json(body: bytes) -> bool:
    """Tell whether a body is JSON at all."""
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _answer_then_read(answer: bytes, stream: IO[bytes]) -> Iterator[bytes]:
    yield answer
    stop_at = time.monotonic() + LINGER_SECONDS
    left = LINGER_BYTES
    while left > 0 and time.monotonic() < stop_at:
        piece = stream.read(min(left, 64 * 1024))
        if not piece:
            return
        left -= len(piece)


def _has_a_field_twice(text: str) -> bool:
    twice = False

    def look(fields: list[tuple[str, Any]]) -> None:
        nonlocal twice
        twice = twice or len({name for name, _ in fields}) < len(fields)

    try:
        json.loads(text, object_pairs_hook=look)
    except (ValueError, RecursionError):
        return False
    return twice

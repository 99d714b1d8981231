"""What the doors of all senders share: reading a request, recording it, and answering.

Every answer names the request's id in its header (`service/asgi.py`); the JSON of one to a delivery
does so too.
"""

import asyncio
import json
from collections.abc import Awaitable

import structlog
from flask import Response, request

from db.deliveries import NewEvent
from service import http_bodies, request_ids
from service.disclosure import shown_path
from service.http_messages import Answer, Refused
from tasks.plumbing import nudges
from webhook_receiver.recorder import NotRecorded, Recorder

MAX_BODY_BYTES = 1024 * 1024
READ_UNSIGNED_BYTES = 64 * 1024
LATER = "billing.answer_later"
"""In the environ: what to await for the answer, if the view could not give it at once."""

log = structlog.get_logger()


def body_of_request() -> bytes:
    """Return the raw body."""
    return request.get_data()


def is_announced_as_json() -> bool:
    """Tell whether the request's content type is JSON's."""
    return request.mimetype == "application/json"


def refuse_unsigned(body: bytes, reason: str) -> Response:
    """Answer a delivery without a good signature: 401, or 400 if it is not even JSON.

    A large one is not read for that: it takes a tenth of a second, in which the event loop, and so
    everybody, would wait for a stranger.
    """
    if len(body) > READ_UNSIGNED_BYTES or http_bodies.is_json(body):
        return refuse(401, reason)
    return refuse(400, "not JSON, not signed")


def refuse_without_secrets(variable: str) -> Response:
    """Answer a sender for whom no secret is configured."""
    return refuse(503, f"this receiver has no {variable} yet; please send it again")


def record_and_answer(recorder: Recorder, event: NewEvent) -> Response:
    """Record a proven delivery and have its source nudged; answer once it is committed."""
    recorded = recorder.record(event)
    return _answer_later(_answer_when_recorded(recorded, event, _path()))


def refuse_unread(refused: Refused, path: str) -> Answer:
    """Answer a request that no view sees; `service/asgi.py` calls this."""
    return _whole(refuse(refused.status, refused.detail, path=shown_path(path, None)))


def refuse(status: int, error: str, *, path: str | None = None) -> Response:
    """Answer and log why; `error` repeats nothing that was sent, and neither does `path`."""
    log.warning("request refused", path=path or _path(), status=status, reason=error)
    response = answer(status, error=error, request_id=request_ids.current() or "")
    if status == 503:
        response.headers["Retry-After"] = "5"
    return response


def answer(status: int, /, **content: str) -> Response:
    """Return a small JSON answer."""
    return Response(json.dumps(content), status, content_type="application/json")


def _path() -> str:
    return shown_path(request.path, request.url_rule)


def _answer_later(awaited: Awaitable[Answer]) -> Response:
    request.environ[LATER] = awaited
    return Response()


async def _answer_when_recorded(
    recorded: "asyncio.Future[bool]", event: NewEvent, path: str
) -> Answer:
    try:
        is_new = await recorded
    except NotRecorded as error:
        with request_ids.bound(event.request_id):
            log.error("event not recorded", source=event.source, error=str(error))
            return _whole(refuse(503, "could not be recorded; please send it again", path=path))
    if is_new:
        nudges.send_in_background(event.source)
    return _accepted(event, 202, "recorded") if is_new else _accepted(event, 200, "seen before")


def _whole(response: Response) -> Answer:
    return Answer(response.status_code, list(response.headers), response.get_data())


def _accepted(event: NewEvent, status: int, what: str) -> Answer:
    # Not by Flask, which takes longer to make an answer than all the rest of this.
    content = json.dumps({"status": what, "request_id": event.request_id})
    return Answer(status, _JSON, content.encode())


_JSON = (("Content-Type", "application/json"),)

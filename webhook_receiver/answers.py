"""What the doors of all senders share: reading a request, recording it, and answering."""

import json

import structlog
from flask import Response, request

from db.deliveries import NewEvent
from service import http_bodies
from service.disclosure import shown_path
from tasks.plumbing import nudges
from webhook_receiver.recorder import NotRecorded, Recorder

MAX_BODY_BYTES = 1024 * 1024

log = structlog.get_logger()


def body_of_request() -> bytes:
    """Return the raw body; raises 413, which the app answers."""
    return http_bodies.read_body(request, max_bytes=MAX_BODY_BYTES)


def is_announced_as_json() -> bool:
    """Tell whether the request's content type is JSON's."""
    return request.mimetype == "application/json"


def refuse_unsigned(body: bytes, reason: str) -> Response:
    """Answer a delivery without a good signature: 401, or 400 if it is not even JSON."""
    return refuse(401, reason) if http_bodies.is_json(body) else refuse(400, "not JSON, not signed")


def refuse_without_secrets(variable: str) -> Response:
    """Answer a sender for whom no secret is configured."""
    return refuse(503, f"this receiver has no {variable} yet; please send it again")


def record_and_answer(recorder: Recorder, event: NewEvent) -> Response:
    """Record a proven delivery and have its source nudged; return once it is committed."""
    try:
        is_new = recorder.record(event)
    except NotRecorded as error:
        log.error("event not recorded", source=event.source, error=str(error))
        return refuse(503, "could not be recorded; please send it again")
    if not is_new:
        return answer(200, status="seen before")
    nudges.send_in_background(event.source)
    return answer(202, status="recorded")


def refuse(status: int, error: str) -> Response:
    """Answer and log why; `error` repeats nothing that was sent."""
    log.warning(
        "request refused",
        path=shown_path(request.path, request.url_rule),
        status=status,
        reason=error,
    )
    response = answer(status, error=error)
    if status == 503:
        response.headers["Retry-After"] = "5"
    return response


def answer(status: int, /, **content: str) -> Response:
    """Return a small JSON answer."""
    return Response(json.dumps(content), status, content_type="application/json")

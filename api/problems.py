"""Refusals: every error answer is a problem of RFC 9457 (`application/problem+json`).

A route raises `Refusal`; errors of the database and of werkzeug become problems here. A problem
never shows code, SQL or a key.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from flask import Flask, Response, request
from pydantic import BaseModel, Field, ValidationError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from api.json_body import MAX_BODY_BYTES
from billing.text import field_problems, validation_problems
from errors import TransientError
from service import http_bodies

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
OWN_TYPES = "urn:problem-type:billing:"
INVALID_FIELDS = "invalid-fields"
PLAIN = "about:blank"
"""The type of a problem that its HTTP status describes in full (RFC 9457, 4.2.1)."""


class FieldProblem(BaseModel):
    """What is wrong with one field of the request."""

    field: str = Field(description="its name, with dots if it is nested")
    detail: str


class Problem(BaseModel):
    """Why a request was refused (RFC 9457)."""

    type: str = Field(
        description=f"{PLAIN}, or {OWN_TYPES}... to distinguish the causes of a status"
    )
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] | None = Field(default=None, description="with 422: the fields")


class Refusal(Exception):
    """What a route raises to refuse a request."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str | None = None,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        more: Mapping[str, str | int] | None = None,
    ) -> None:
        """`kind` is the last part of a type of ours, such as `unknown-lead`.

        `fields` maps each wrong field to its problem; see `bad_field`. `more` are extension members
        of the problem, for programs (RFC 9457, 3.2).
        """
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.type = OWN_TYPES + kind if kind else PLAIN
        self.headers = dict(headers or {})
        self.fields = dict(fields or {})
        self.more = dict(more or {})


def bad_field(field: str, problem: str) -> Refusal:
    """Return the refusal of one field, in the same form as `of_fields`."""
    return Refusal(422, f"{field}: {problem}", kind=INVALID_FIELDS, fields={field: problem})


def install(app: Flask) -> None:
    """Answer every error of `app` with a problem."""
    app.register_error_handler(Refusal, _refused)
    app.register_error_handler(HTTPException, _by_http)
    app.register_error_handler(TransientError, _later)
    app.register_error_handler(Exception, _unexpected)


def of_fields(error: ValidationError) -> Response:
    """Return the answer that names each bad field of a request; Flask-OpenAPI calls this."""
    if error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid":
        return answer(400, "the body is not JSON")
    fields = [{"field": field, "detail": problem} for field, problem in field_problems(error)]
    detail = validation_problems(error)
    return answer(422, detail, kind=OWN_TYPES + INVALID_FIELDS, errors=fields)


def documented(*statuses: int) -> dict[str, Any]:
    """Return the description of these refusals for the OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
    return {
        str(status): {"description": HTTPStatus(status).phrase, "content": content}
        for status in statuses
    }


def answer(status: int, detail: str, *, kind: str = PLAIN, **more: Any) -> Response:
    """Return a problem as an answer; a 503 carries `Retry-After`."""
    log.warning("request refused", path=request.path[:200], status=status, reason=detail[:500])
    title = HTTPStatus(status).phrase
    content = {"type": kind, "title": title, "status": status, "detail": detail, **more}
    response = Response(json.dumps(content), status, content_type=MEDIA_TYPE)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _refused(refusal: Refusal) -> Response:
    fields = [{"field": field, "detail": problem} for field, problem in refusal.fields.items()]
    more = {"errors": fields} if fields else {}
    response = answer(refusal.status, refusal.detail, kind=refusal.type, **more, **refusal.more)
    response.headers.update(refusal.headers)
    return response


_EXPLAINED = {
    404: "unknown path: GET /openapi.json lists all paths",
    405: "method not allowed: the Allow header lists the methods of this path",
    413: f"the body must be at most {MAX_BODY_BYTES} bytes",
    415: "the Content-Type must be application/json",
}


def _by_http(error: HTTPException) -> Response:
    status = error.code or 500
    response = answer(status, _EXPLAINED.get(status) or error.description or error.name)
    if isinstance(error, RequestEntityTooLarge):
        http_bodies.read_on_after(response, request)
    allowed = getattr(error, "valid_methods", None)
    if allowed:
        response.headers["Allow"] = ", ".join(allowed)
    return response


def _later(error: TransientError) -> Response:
    # The log says what the caller need not know: hosts, roles, missing migrations.
    log.error("request failed", path=request.path[:200], error=f"{type(error).__name__}: {error}")
    return answer(503, "the database is not available now: repeat the request later")


def _unexpected(error: Exception) -> Response:
    log.error("request failed", path=request.path[:200], exc_info=error)
    return answer(500, "internal error: the details are in the server's log")

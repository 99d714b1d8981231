"""Refusals: every error answer is a problem of RFC 9457 (`application/problem+json`).

A route raises `Refusal`; `api/rule_refusals.py` says which one each error of the rules or of a
gateway is. Errors of the database and of werkzeug become problems here. A problem never shows
code, SQL or a key.
"""

import json
from collections.abc import Mapping
from http import HTTPMethod, HTTPStatus
from typing import Any

import structlog
from flask import Flask, Response, request
from pydantic import BaseModel, Field, ValidationError
from werkzeug.exceptions import HTTPException

from billing.text import field_problems, validation_problems
from errors import TransientError
from service import request_ids
from service.disclosure import shown_error, shown_path
from service.http_messages import Answer, Refused

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
    request_id: str = Field(
        description="the X-Request-Id of this answer: name it if you ask us about the request"
    )
    errors: list[FieldProblem] | None = Field(default=None, description="with 422: the fields")


class NotEnoughCredit(Problem):
    """Why nothing was spent, and what the account has; in credits."""

    needed: int = Field(description="what was to be spent")
    available: int = Field(description="what can pay for it; for a capture, its hold counts too")
    balance: int
    held: int = Field(description="what open holds set aside")


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
        logged: str | None = None,
    ) -> None:
        """`kind` is the last part of a type of ours, such as `unknown-lead`.

        `fields` maps each wrong field to its problem; see `bad_field`. `more` are extension members
        of the problem, for programs (RFC 9457, 3.2). `logged` is the detail for the log, if
        `detail` repeats what the caller sent.
        """
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.type = OWN_TYPES + kind if kind else PLAIN
        self.headers = dict(headers or {})
        self.fields = dict(fields or {})
        self.more = dict(more or {})
        self.logged = logged


MODELS: dict[int, type[Problem]] = {402: NotEnoughCredit}
"""Status -> what its problem looks like, unless it is a plain `Problem`."""
SCHEMAS = "#/components/schemas/"


def bad_field(field: str, problem: str) -> Refusal:
    """Return the refusal of one field, in the same form as `of_fields`."""
    return Refusal(422, f"{field}: {problem}", kind=INVALID_FIELDS, fields={field: problem})


def unknown(thing: str, *, by: str = "id") -> Refusal:
    """Return the refusal of a thing that does not exist, or is out of the caller's reach.

    Both have the same words: a caller cannot find out what others have.
    """
    return Refusal(404, f"no {thing} with this {by} is known", kind=f"unknown-{thing}")


def install(app: Flask) -> None:
    """Answer every error of `app` with a problem; those of the rules: `api/rule_refusals.py`."""
    app.register_error_handler(Refusal, refused)
    app.register_error_handler(HTTPException, _by_http)
    app.register_error_handler(TransientError, _later)
    app.register_error_handler(Exception, unexpected)


def of_fields(error: ValidationError) -> Response:
    """Return the answer that names each bad field of a request; Flask-OpenAPI calls this."""
    if error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid":
        return answer(400, "the body is not JSON")
    fields = [{"field": field, "detail": problem} for field, problem in field_problems(error)]
    detail = "; ".join(f"{field['field']}: {field['detail']}" for field in fields)
    logged = validation_problems(error)
    return answer(422, detail, kind=OWN_TYPES + INVALID_FIELDS, logged=logged, errors=fields)


def documented(*statuses: int) -> dict[str, Any]:
    """Return the description of these refusals for the OpenAPI document."""
    return {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": {
                MEDIA_TYPE: {"schema": {"$ref": SCHEMAS + MODELS.get(status, Problem).__name__}}
            },
        }
        for status in statuses
    }


def answer(
    status: int, detail: str, *, kind: str = PLAIN, logged: str | None = None, **more: Any
) -> Response:
    """Return a problem as an answer; a 429 and a 503 carry `Retry-After`.

    `detail` may repeat what the caller sent, which the log may not: `logged` stands there instead.
    """
    _log(status, detail if logged is None else logged, shown_path(request.path, request.url_rule))
    return _problem(status, detail, kind, more)


def of_unread(refused: Refused, path: str) -> Answer:
    """Return the answer to a request that no view sees; `service/asgi.py` calls this."""
    _log(refused.status, refused.detail, shown_path(path, None))
    response = _problem(
        refused.status, refused.detail, OWN_TYPES + refused.kind if refused.kind else PLAIN, {}
    )
    response.headers["Cache-Control"] = "no-store"
    return Answer(response.status_code, list(response.headers), response.get_data())


def _log(status: int, reason: str, path: str) -> None:
    log.warning("request refused", path=path, status=status, reason=reason[:500])


def _problem(status: int, detail: str, kind: str, more: Mapping[str, Any]) -> Response:
    title = HTTPStatus(status).phrase
    content: dict[str, Any] = {"type": kind, "title": title, "status": status, "detail": detail}
    content |= {"request_id": request_ids.current(), **more}
    response = Response(json.dumps(content), status, content_type=MEDIA_TYPE)
    if status in _LATER:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


_LATER = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""Statuses of what goes through if it is repeated unchanged."""


def refused(refusal: Refusal) -> Response:
    """Return the answer for a refusal."""
    fields = [{"field": field, "detail": problem} for field, problem in refusal.fields.items()]
    more = {"errors": fields} if fields else {}
    response = answer(
        refusal.status,
        refusal.detail,
        kind=refusal.type,
        logged=refusal.logged,
        **more,
        **refusal.more,
    )
    response.headers.update(refusal.headers)
    return response


_EXPLAINED = {
    404: "unknown path: GET /openapi.json lists all paths",
    405: "method not allowed: the Allow header lists the methods of this path",
    415: "the Content-Type must be application/json",
}


def _by_http(error: HTTPException) -> Response:
    status = error.code or 500
    response = answer(status, _EXPLAINED.get(status) or error.description or error.name)
    allowed = getattr(error, "valid_methods", None)
    if allowed:
        response.headers["Allow"] = ", ".join(allowed)
    if status == 415 and request.method == HTTPMethod.PATCH:
        response.headers["Accept-Patch"] = "application/json"  # RFC 5789, 2.2
    return response


def _later(error: TransientError) -> Response:
    # The log says what the caller need not know: hosts, roles, missing migrations.
    log.error(
        "request failed", path=shown_path(request.path, request.url_rule), error=shown_error(error)
    )
    return answer(503, "the database is not available now: repeat the request later")


def unexpected(error: Exception) -> Response:
    """Return the answer for a mistake of ours, which the log describes."""
    log.error("request failed", path=shown_path(request.path, request.url_rule), exc_info=error)
    return answer(500, "internal error: the details are in the server's log")

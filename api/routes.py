"""How a route is written: what it needs and what it answers, said once, held and documented.

A view takes `path`, `query`, `header` or `body` (pydantic models, validated before it is called;
`header` is where `Idempotency-Key` comes in), asks `auth.caller()` who is asking, opens the
transaction, calls one billing function and returns a model or raises `Refusal`.
"""

from collections.abc import Callable
from functools import wraps
from http import HTTPMethod
from inspect import getdoc
from typing import Any

from flask import Response
from flask_openapi import APIBlueprint
from pydantic import BaseModel

from api import auth, problems
from billing import audit

View = Callable[..., BaseModel]

_ALWAYS = (401, 403, 422, 500, 503)
_WITH_A_BODY = (400, 413, 415)


def route(
    resource: APIBlueprint,
    method: HTTPMethod,
    rule: str,
    *,
    scope: str,
    answers: type[BaseModel],
    status: int = 200,
    refusals: tuple[int, ...] = (),
) -> Callable[[View], View]:
    """Put a view at `method rule` for callers with `scope`.

    It answers `status` with a model of the type `answers`; `refusals` are the statuses of its own
    beside those of every route. What it changes is recorded as asked by its caller.
    """
    always = _ALWAYS if method is HTTPMethod.GET else (*_ALWAYS, *_WITH_A_BODY)
    responses: dict[str, Any] = {str(status): answers}
    responses |= problems.documented(*sorted({*always, *refusals}))
    add = getattr(resource, method.value.lower())

    def put(view: View) -> View:
        @wraps(view)
        def answer(**request: Any) -> Response:
            with audit.asked_by(auth.caller().actor, door="api"):
                content = view(**request)
            return Response(content.model_dump_json(), status, content_type="application/json")

        setattr(answer, auth.SCOPE, scope)
        summary, _, description = (getdoc(view) or view.__name__).partition("\n\n")
        add(
            rule,
            summary=summary,
            description=description,
            responses=responses,
            security=[{auth.SCHEME: [scope]}],
            operation_id=f"{resource.name}_{view.__name__}",
        )(answer)
        return view

    return put

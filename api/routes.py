"""The declaration of a route: what it needs and answers, enforced and documented from one place.

A view takes `path`, `query` or `body` (pydantic models, validated before it is called), gets its
caller from `auth.caller()`, opens the transaction, calls one billing function, and returns a model
or raises `Refusal`. Every POST needs an `Idempotency-Key` and is done once for it:
`api/idempotency.py` says what a view has to do for that. A PATCH sets absolute values, so that a
repeat changes nothing: it needs no such key, and does not read one that is sent. Nor does a DELETE,
whose repeat finds nothing.
"""

from collections.abc import Callable
from functools import partial, wraps
from http import HTTPMethod
from inspect import get_annotations, getdoc
from typing import Any

from flask import Flask, Response
from flask_openapi import APIBlueprint
from pydantic import BaseModel

from api import auth, idempotency, problems, rule_refusals
from api.document import DECLARED, Declaration
from api.examples import Example
from api.json_body import WITHOUT_BODY
from billing import audit

View = Callable[..., BaseModel]

_ASKS_GATEWAY = "asks_gateway"
_ALWAYS = {400, 401, 403, 422, 429, 500, 503}
_WITH_A_BODY = {408, 413, 415}
_UNDER_A_KEY = {409, 410}


def route(  # noqa: PLR0913 - a declaration
    resource: APIBlueprint,
    method: HTTPMethod,
    rule: str,
    *,
    scope: str,
    answers: type[BaseModel],
    status: int = 200,
    refusals: tuple[int, ...] = (),
    without_body: bool = False,
    check: Callable[..., None] | None = None,
    asks_gateway: bool = False,
    example: Example | None = None,
) -> Callable[[View], View]:
    """Put a view at `method rule` for callers with `scope`.

    It answers `status` with a model of the type `answers`; `refusals` are its own statuses in
    addition to those of every route. With `without_body`, a missing body is read as `{}`. `check`
    takes what the view takes and raises a `Refusal` if this key may not ask that: it runs before a
    stored answer is repeated. A view that `asks_gateway` may take as long as the gateway:
    `api/server.py` gives it a part of the threads only. The OpenAPI document shows `example`, and
    a test sends it. The audit log names the caller as the actor of what the view changes.
    """
    once = method is HTTPMethod.POST
    refused = {*_ALWAYS, *refusals}
    refused |= set() if method in {HTTPMethod.GET, HTTPMethod.DELETE} else _WITH_A_BODY
    refused |= _UNDER_A_KEY if once else set()
    responses: dict[str, Any] = {str(status): answers}
    responses |= problems.documented(*sorted(refused))
    add = getattr(resource, method.value.lower())

    def put(view: View) -> View:
        @wraps(view)
        def answer(**request: Any) -> Response:
            with audit.asked_by(auth.caller().actor, door="api"):
                key = request.pop("header").idempotency_key if once else ""
                if check is not None:
                    check(**request)
                if once:
                    return idempotency.once(partial(view, **request), key=key, status=status)
                with rule_refusals.refusals_of_rules():
                    text = view(**request).model_dump_json()
            return Response(text, status, content_type="application/json")

        if once:
            if "header" in get_annotations(view):
                raise TypeError(
                    f"{view.__name__}: a POST view cannot take `header`, which is read for it"
                )
            # Flask-OpenAPI validates and documents these.
            answer.__annotations__ = {**get_annotations(view), "header": idempotency.Headers}
        setattr(answer, auth.SCOPE, scope)
        setattr(answer, WITHOUT_BODY, without_body)
        setattr(answer, _ASKS_GATEWAY, asks_gateway)
        operation_id = f"{resource.name}_{view.__name__}"
        DECLARED[operation_id] = Declaration(status, scope, once, without_body, example)
        summary, _, description = (getdoc(view) or view.__name__).partition("\n\n")
        add(
            rule,
            summary=summary,
            description=description,
            responses=responses,
            security=[{auth.SCHEME: [scope]}],
            operation_id=operation_id,
        )(answer)
        return view

    return put


def gateway_paths(app: Flask) -> frozenset[str]:
    """Return the paths of an app whose POST asks a gateway; such a path has no variable part."""
    rules = [
        rule
        for rule in app.url_map.iter_rules()
        if getattr(app.view_functions[rule.endpoint], _ASKS_GATEWAY, False)
    ]
    for rule in rules:
        if rule.arguments:
            raise TypeError(f"{rule.rule}: a path that asks a gateway must have no variable part")
    return frozenset(rule.rule for rule in rules)

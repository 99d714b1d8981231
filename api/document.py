"""The document at /openapi.json: what Flask-OpenAPI makes of the routes, completed.

Flask-OpenAPI writes paths, parameters and schemas. Added here: the example of each route and its
refusals, the headers of the answers, the scope in words, which bodies may be left out, and what
each tag holds. `api/app.py` calls `complete` once.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import settings
from api import problems
from api.enum_names import name_enums
from api.examples import COMMON_REFUSALS, Example, Refused
from billing.access.keys import SCOPES

JSON = "application/json"
EXAMPLE_KEY = "4f0e8a6c-2b9d-4c1e-9a57-0d3b6f1c8e21"
"""An Idempotency-Key; a client makes a new one for each operation."""
EXAMPLE_REQUEST_ID = "req_9c3b7e15d2a84f60b1c8e7a4f2d05936"

INTRODUCTION = "\n".join(
    (
        "Credits are whole numbers, money is in paise, times are ISO 8601.",
        "",
        "- Send an API key as `Authorization: Bearer KEY`.",
        "- Every POST needs an `Idempotency-Key`: it is done once for its key, and a repeat gets"
        " the same answer.",
        "- A refusal is a problem of [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457). Its `type`"
        " names the cause for a program, `detail` for a person.",
        "- A list comes in pages. `after` is the `next` of the page before; the last page has"
        " `next: null`.",
        "- Every answer has an `X-Request-Id`. Name it if you ask about a request.",
        "",
        "The examples tell one story; their ids are made up.",
    )
)
"""What a reader has to know before the routes."""

TAGS = {
    "accounts": "Customers: what they have, what they did, and how they are set up.",
    "orders": "Buying credit or a plan at a gateway's checkout.",
    "payments": "The money that arrived.",
    "refunds": "Giving the money of a payment back, and taking its credit.",
    "leads": "Patient leads, which cost credits by the value of the package asked for.",
    "disputes": "Leads that a clinic says are bad.",
    "credit": "Spending credit, in one step or by a hold.",
    "plans": "What a plan allows, and when it renews.",
    "catalog": "What is sold, and at which prices.",
    "contacts": "The addresses that an account's mails go to.",
    "events": "What happened: the notices that endpoints are sent, to read in their order.",
}
"""Tag -> what it holds, in the order in which a reader meets them."""

_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {
        "description": "the id of this request: the caller's, if it sent one. Name it to support",
        "schema": {"type": "string"},
        "example": EXAMPLE_REQUEST_ID,
    },
    "Idempotent-Replayed": {
        "description": "`true` if the answer is that of an earlier request with this key",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Retry-After": {
        "description": "seconds until the request may be repeated, with its Idempotency-Key",
        "schema": {"type": "integer"},
    },
    "WWW-Authenticate": {
        "description": "what is wrong with the key (RFC 6750)",
        "schema": {"type": "string"},
    },
}
_HEADERS_OF = {
    "401": ("WWW-Authenticate",),
    "403": ("WWW-Authenticate",),
    "409": ("Retry-After",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}


@dataclass(frozen=True, slots=True)
class Declaration:
    """What `api/routes.py` knows of a route beyond what Flask-OpenAPI reads."""

    status: int
    scope: str
    once: bool
    """It needs an Idempotency-Key."""
    without_body: bool
    example: Example | None


DECLARED: dict[str, Declaration] = {}
"""Operation id -> what its route declares; `api/routes.py` fills it when a resource is imported."""


def server() -> dict[str, str]:
    """Return where the API is for its callers: API_URL, by default where it listens.

    Raises `SettingsError` if that is wrong.
    """
    url = settings.get().api_url
    if not url:
        listens = settings.listener("api")
        everywhere = listens.host in {"0.0.0.0", "::"}  # noqa: S104 - no address to call
        host = "127.0.0.1" if everywhere else listens.host
        url = f"http://{f'[{host}]' if ':' in host else host}:{listens.port}"
    return {"url": url}


def security_scheme() -> dict[str, str]:
    """Return how a caller is known, with the scopes that a key may have."""
    scopes = "\n".join(f"- `{name}`: {what}" for name, what in SCOPES.items())
    return {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, made by `billing api-keys create`. A key sees one product, one"
        " account, or everything; the rest does not exist for it (404). Each route needs a scope:"
        f"\n\n{scopes}",
    }


def complete(made: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document that Flask-OpenAPI made, completed by what its routes declare."""
    document = deepcopy(dict(made))
    used: set[str] = set()
    for operations in document["paths"].values():
        for operation in operations.values():
            used.update(operation["tags"])
            one = DECLARED[operation["operationId"]]
            _describe(operation, one)
            _show_refusals(operation, one)
            if one.example is not None:
                _show(operation, one, one.example)
    document["tags"] = [{"name": n, "description": TAGS[n]} for n in TAGS if n in used]
    components = document["components"]
    for model in problems.MODELS.values():
        schema = model.model_json_schema(ref_template=problems.SCHEMAS + "{model}")
        components["schemas"][model.__name__] = {n: v for n, v in schema.items() if n != "$defs"}
    _say_defaults(components["schemas"])
    name_enums(document)
    components["headers"] = _HEADERS
    components["examples"] = {one.name: {"value": _problem(one)} for one in COMMON_REFUSALS}
    return document


def _say_defaults(schemas: dict[str, Any]) -> None:
    """Say the default of a field in words.

    Of a `default`, generators make a value that a client sends although nobody chose it, or a field
    that must be sent: a field that needs a scope of its own would be in each request.
    """
    for schema in schemas.values():
        for field in schema.get("properties", {}).values():
            default = field.pop("default", None)
            said = field.get("description", "")
            if default not in (None, "") and "default" not in said:
                field["description"] = f"{said}; by default {default}".removeprefix("; ")


def _describe(operation: dict[str, Any], one: Declaration) -> None:
    for parameter in operation.get("parameters", ()):
        parameter["schema"].pop("default", None)
    said = operation.get("description", "")
    if said == operation["summary"]:  # Flask-OpenAPI repeats a docstring of one line
        said = ""
    operation["description"] = f"{said}\n\nNeeds the scope `{one.scope}`.".strip()
    if "requestBody" in operation:
        operation["requestBody"]["required"] = not one.without_body
    for status, response in operation["responses"].items():
        names = ["X-Request-Id", *_HEADERS_OF.get(status, ())]
        if one.once and status == str(one.status):
            names.append("Idempotent-Replayed")
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _show(operation: dict[str, Any], one: Declaration, example: Example) -> None:
    sent = {**example.path, **example.query}
    if one.once:
        sent["Idempotency-Key"] = EXAMPLE_KEY
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in sent:
            parameter["example"] = _typed(sent[parameter["name"]], parameter["schema"])
    if example.body is not None:
        operation["requestBody"]["content"][JSON]["example"] = example.body
    operation["responses"][str(one.status)]["content"][JSON]["example"] = example.answer


def _typed(text: str, schema: Mapping[str, Any]) -> str | int | list[str]:
    match schema.get("type"):
        case "integer":
            return int(text)
        case "array":
            return text.split(",")
    return text


def _show_refusals(operation: dict[str, Any], one: Declaration) -> None:
    """Show the refusals of this route by their names, and of each other status the usual one."""
    responses = operation["responses"]
    own = one.example.refused if one.example is not None else ()
    for refused in own:
        content = responses[str(refused.status)]["content"][problems.MEDIA_TYPE]
        examples = content.setdefault("examples", {})
        examples[refused.name] = {"value": _problem(refused)}
    for refused in COMMON_REFUSALS:
        if str(refused.status) in responses:
            content = responses[str(refused.status)]["content"][problems.MEDIA_TYPE]
            examples = content.setdefault("examples", {})
            examples.setdefault(refused.name, {"$ref": f"#/components/examples/{refused.name}"})


def _problem(refused: Refused) -> dict[str, Any]:
    return {
        "type": problems.OWN_TYPES + refused.kind if refused.kind else problems.PLAIN,
        "title": HTTPStatus(refused.status).phrase,
        "status": refused.status,
        "detail": refused.detail,
        "request_id": EXAMPLE_REQUEST_ID,
        **refused.more,
    }

"""The document at /openapi.json says what the routes do."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel

import settings
from api import app as api_app
from api import auth
from api import document as document_module
from api.document import DECLARED
from billing.access.keys import SCOPES
from tests.api.api_process import ApiProcess

OPERATIONS = frozenset(DECLARED)  # read now: tests of `route` declare more
OPEN_ADDRESSES = {"/openapi.json", "/docs", "/healthz", "/readyz"}


@pytest.fixture
def document(api: ApiProcess) -> dict[str, Any]:
    read: dict[str, Any] = api.get("/openapi.json").json
    return read


@pytest.fixture
def client(database: str) -> Iterator[FlaskClient]:
    settings.get.cache_clear()
    yield api_app.create_app().test_client()
    settings.get.cache_clear()


def test_it_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"].keys() >= {"title", "version"}  # OpenAPI 3.1, 4.8.2.1
    assert document["paths"]
    for path, operations in document["paths"].items():
        assert path.startswith("/v1/")
        for operation in operations.values():
            assert all(response["description"] for response in operation["responses"].values())
            in_path = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
            assert all(f"{{{name}}}" in path for name in in_path)
    operation_ids = [o["operationId"] for os in document["paths"].values() for o in os.values()]
    assert len(set(operation_ids)) == len(operation_ids)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = set(_references(document))
    assert "#/components/schemas/Problem" in references
    for reference in references:
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
        assert place.keys() & {"type", "schema", "value"}  # of a model, a header, an example


def test_every_route_needs_a_key_and_answers_problems(document: dict[str, Any]) -> None:
    scheme = document["components"]["securitySchemes"]["api_key"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert all(f"- `{scope}`: " in scheme["description"] for scope in SCOPES)
    for operations in document["paths"].values():
        for operation in operations.values():
            assert list(operation["security"][0]) == ["api_key"]
            refusals = {s: r for s, r in operation["responses"].items() if s >= "400"}
            assert refusals.keys() >= {"401", "403", "422", "500", "503"}
            assert all(
                list(r["content"]) == ["application/problem+json"] for r in refusals.values()
            )


def test_the_lead_route_is_described_with_its_fields_and_its_scope(
    document: dict[str, Any],
) -> None:
    operation = document["paths"]["/v1/leads/{lead_id}"]["get"]

    assert operation["security"] == [{"api_key": ["leads:read"]}]
    assert operation["responses"].keys() >= {"200", "404"}
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    lead = document["components"]["schemas"][answer.rpartition("/")[2]]
    assert lead["properties"].keys() >= {"lead_id", "account", "state", "credits"}
    state = lead["properties"]["state"]["$ref"]
    assert "pending" in document["components"]["schemas"][state.rpartition("/")[2]]["enum"]


def test_a_default_is_said_in_words_alone(document: dict[str, Any]) -> None:
    # A generated client would send it, or ask for it.
    assert '"default":' not in json.dumps([document["components"]["schemas"], document["paths"]])
    new_hold = document["components"]["schemas"]["NewHold"]["properties"]
    assert new_hold["expires_in_seconds"]["description"].endswith("; by default 900")


def test_each_enumeration_has_a_name(document: dict[str, Any]) -> None:
    # Or a generated client would name it by itself: add it to `api/enum_names.py`.
    schemas = document["components"]["schemas"]
    models = [schema for schema in schemas.values() if "enum" not in schema]
    assert not list(_enumerations([models, document["paths"]]))


def _enumerations(part: Any) -> Iterator[Any]:
    if isinstance(part, dict) and "enum" in part:
        yield part["enum"]
    for inner in part.values() if isinstance(part, dict) else part:
        if isinstance(inner, dict | list):
            yield from _enumerations(inner)


ROUTES = {
    ("get", "/v1/orders/{order_id}"): (
        "orders:read", "200", {"order_id", "state", "package", "plan", "payment_id", "created_at"},
    ),
    ("get", "/v1/payments/{payment_id}"): (
        "payments:read", "200", {"payment_id", "state", "account", "refunds"},
    ),
    ("get", "/v1/refunds/{refund_id}"): (
        "refunds:read", "200", {"refund_id", "state", "account", "reason", "created_at"},
    ),
    ("get", "/v1/accounts/{ref}/leads"): ("leads:read", "200", {"leads", "next"}),
    ("post", "/v1/leads"): ("leads:write", "202", {"lead_id", "account", "state", "reason"}),
    ("post", "/v1/accounts"): ("accounts:write", "201", {"account", "available", "gstin"}),
    ("get", "/v1/accounts"): ("accounts:read", "200", {"accounts", "next"}),
    ("patch", "/v1/accounts/{ref}"): ("accounts:write", "200", {"account", "low_balance"}),
    ("get", "/v1/accounts/{ref}/statement"): (
        "accounts:read",
        "200",
        {"account", "timezone", "start", "end", "opening", "totals", "closing"},
    ),
    ("get", "/v1/catalog"): (
        "catalog:read",
        "200",
        {"currency", "products", "packages", "free_amounts", "plans", "lead_pricing", "disputes"},
    ),
    ("get", "/v1/accounts/{ref}"): (
        "accounts:read",
        "200",
        {"account", "balance", "held", "available", "overdraft_limit", "name", "product",
         "timezone", "alert_level"},
    ),
    ("get", "/v1/accounts/{ref}/transactions"): (
        "accounts:read", "200", {"transactions", "next"},
    ),
    ("get", "/v1/accounts/{ref}/payments"): ("payments:read", "200", {"payments", "next"}),
    ("get", "/v1/accounts/{ref}/entitlements"): (
        "accounts:read",
        "200",
        {"account", "service_renewal_status", "entitlements", "banner"},
    ),
    ("get", "/v1/accounts/{ref}/status"): (
        "accounts:read",
        "200",
        {"account", "plan", "balance", "held", "available", "renewal", "next_grant", "banner"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_each_route_is_described_with_its_scope_and_what_it_answers(
    document: dict[str, Any], method: str, path: str
) -> None:
    scope, status, fields = ROUTES[method, path]
    operation = document["paths"][path][method]

    assert operation["security"] == [{"api_key": [scope]}]
    answer = operation["responses"][status]["content"]["application/json"]["schema"]["$ref"]
    assert document["components"]["schemas"][answer.rpartition("/")[2]]["properties"].keys() >= (
        fields
    )
    if "{ref}" in path:
        assert "404" in operation["responses"]


def test_a_payment_is_described_by_the_names_that_it_is_answered_with(
    document: dict[str, Any],
) -> None:
    payment = document["components"]["schemas"]["Payment"]

    assert payment["properties"].keys() >= {"payment_id", "order_id", "state", "credits"}
    assert "gateway_payment_id" not in payment["properties"]


def test_every_post_needs_an_idempotency_key_and_may_be_in_conflict(
    document: dict[str, Any],
) -> None:
    posts = [o["post"] for o in document["paths"].values() if "post" in o]
    assert posts
    for operation in posts:
        [header] = [p for p in operation["parameters"] if p["in"] == "header"]
        assert (header["name"], header["required"]) == ("Idempotency-Key", True)
        assert (header["schema"]["minLength"], header["schema"]["maxLength"]) == (1, 255)
        assert operation["responses"].keys() >= {"400", "409", "413", "415"}


def test_a_list_takes_its_filters_and_the_place_where_a_page_begins(
    document: dict[str, Any],
) -> None:
    for path, filters in (
        ("transactions", {"kind", "since", "until", "lead_id", "payment_id"}),
        ("payments", {"state"}),
        ("leads", {"state", "since", "until"}),
    ):
        operation = document["paths"][f"/v1/accounts/{{ref}}/{path}"]["get"]
        in_query = {p["name"] for p in operation["parameters"] if p["in"] == "query"}
        assert in_query == {"after", *filters}


def test_what_it_lists_asks_for_a_key_and_the_rest_says_nothing(
    api: ApiProcess, document: dict[str, Any]
) -> None:
    for path, operations in document["paths"].items():
        for method in operations:
            asked = re.sub("{.*?}", "x", path)
            assert api.ask(asked, method=method.upper()).status == 401
    for path in ("/healthz", "/readyz"):
        assert api.get(path).json.keys() == {"status"}


def test_no_address_is_open_but_those_that_say_nothing_of_anybody(client: FlaskClient) -> None:
    app = client.application
    without_scope = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if getattr(app.view_functions[rule.endpoint], auth.SCOPE, None) is None
    }
    of_the_page = {rule for rule in without_scope if rule.startswith("/docs/")}
    assert len(of_the_page) == 1
    assert without_scope - of_the_page == OPEN_ADDRESSES


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, "http://127.0.0.1:8001"),
        ({"API_HOST": "::", "API_PORT": "9001"}, "http://127.0.0.1:9001"),
        ({"API_HOST": "::1"}, "http://[::1]:8001"),
        ({"API_HOST": "10.0.0.7"}, "http://10.0.0.7:8001"),
        ({"API_URL": "https://platform.example/billing/"}, "https://platform.example/billing"),
    ],
)
def test_it_names_the_address_of_the_api(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], address: str
) -> None:
    for variable in ("API_HOST", "API_PORT", "API_URL"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    settings.get.cache_clear()

    assert document_module.server() == {"url": address}


def test_a_public_validator_finds_nothing_wrong(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_each_example_is_valid_by_its_own_schema(document: dict[str, Any]) -> None:
    shown = list(_examples(document))
    assert len(shown) > 3 * len(OPERATIONS)
    for what, schema, value in shown:
        resolvable = {**schema, "components": document["components"]}
        wrong = list(
            OAS31Validator(resolvable, format_checker=oas31_format_checker).iter_errors(value)
        )
        assert not wrong, f"{what}: {wrong[0].message}"


def _examples(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Yield (where, its schema, an example) of each parameter, body and answer."""
    for operation in _operations(document):
        name = operation["operationId"]
        for parameter in operation.get("parameters", ()):
            if "example" in parameter:
                yield f"{name} {parameter['name']}", parameter["schema"], parameter["example"]
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        for part in (*bodies, *operation["responses"].values()):
            for media in part["content"].values():
                if "example" in media:
                    yield name, media["schema"], media["example"]
                for key, example in media.get("examples", {}).items():
                    if "$ref" in example:
                        example = document["components"]["examples"][key]  # noqa: PLW2901
                    yield f"{name} {key}", media["schema"], example["value"]


def test_every_path_and_every_body_has_an_example(document: dict[str, Any]) -> None:
    for operation in _operations(document):
        name = operation["operationId"]
        required = [one for one in operation.get("parameters", ()) if one["required"]]
        assert all("example" in parameter for parameter in required), name
        bodies = operation.get("requestBody", {}).get("content", {}).values()
        good = [r["content"] for status, r in operation["responses"].items() if status < "300"]
        for media in (*bodies, *(media for content in good for media in content.values())):
            assert "example" in media, name


def test_every_answer_has_the_id_of_its_request(document: dict[str, Any]) -> None:
    for operation in _operations(document):
        for status, response in operation["responses"].items():
            assert "X-Request-Id" in response["headers"]
            assert ("Retry-After" in response["headers"]) == (status in {"409", "429", "503"})


def test_a_repeated_post_says_so_in_a_header(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            marked = [
                status
                for status, response in operation["responses"].items()
                if "Idempotent-Replayed" in response["headers"]
            ]
            assert (len(marked) == 1 and marked[0] < "300") == (method == "post"), path


def test_a_body_that_may_be_left_out_is_marked(document: dict[str, Any]) -> None:
    optional = {
        operation["operationId"]
        for operation in _operations(document)
        if operation.get("requestBody", {}).get("required") is False
    }
    assert optional == {"holds_capture", "holds_void"}


def test_every_tag_is_explained(document: dict[str, Any]) -> None:
    explained = {tag["name"] for tag in document["tags"] if tag["description"]}
    assert {tag for one in _operations(document) for tag in one["tags"]} == explained


def test_every_operation_names_its_scope_for_a_reader(document: dict[str, Any]) -> None:
    for operation in _operations(document):
        [scope] = operation["security"][0]["api_key"]
        assert f"Needs the scope `{scope}`." in operation["description"]


def test_no_route_is_missing(document: dict[str, Any]) -> None:
    # Of two resources with the same path, the later one would replace the earlier one.
    assert {one["operationId"] for one in _operations(document)} == OPERATIONS


def test_every_parameter_is_described(document: dict[str, Any]) -> None:
    for operation in _operations(document):
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description"), (operation["operationId"], parameter["name"])


def test_a_description_does_not_repeat_the_summary(document: dict[str, Any]) -> None:
    for operation in _operations(document):
        assert not operation["description"].startswith(operation["summary"])


def test_no_model_hides_another_one_of_its_name() -> None:
    # The document has models by their names alone: of two with one name it would show one.
    modules: dict[str, set[str]] = {}
    for model in _models(BaseModel):
        if model.__module__.startswith("api."):
            modules.setdefault(model.__name__, set()).add(model.__module__)
    assert len(modules) > len(OPERATIONS)
    assert not {name: found for name, found in modules.items() if len(found) > 1}


def _models(of: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for model in of.__subclasses__():
        yield model
        yield from _models(model)


def _operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for operations in document["paths"].values() for one in operations.values()]


def _references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [found for value in part.values() for found in _references(value)]
    if isinstance(part, list):
        return [found for value in part for found in _references(value)]
    return []

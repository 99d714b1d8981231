"""What every route gets by how it is written, shown on one that is not the product's."""

from collections.abc import Iterator
from http import HTTPMethod

import pytest
from flask.testing import FlaskClient
from flask_openapi import APIBlueprint
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from werkzeug.test import TestResponse

import settings
from api import app as api_app
from api import auth, idempotency
from api.routes import route
from billing import audit
from db.session import transaction
from tests.api.conftest import HOUSE_KEY
from tests.billing.given import rows


class Wish(BaseModel):
    model_config = ConfigDict(strict=True)

    amount: int = Field(gt=0)
    at: AwareDatetime | None = None
    named: dict[str, int] = {}


class Granted(BaseModel):
    by: str
    amount: int
    key: str


def _wishes() -> APIBlueprint:
    wishes = APIBlueprint("wishes", __name__, url_prefix="/v1")

    @route(wishes, HTTPMethod.POST, "/wishes", scope="leads:write", answers=Granted, status=201)
    def make(body: Wish) -> Granted:
        """Make a wish."""
        if body.amount == 13:
            raise RuntimeError("the inside story")
        with transaction() as session:
            audit.record(session, "wish.made", "wish:1", before=None, after={})
        return Granted(by=auth.caller().name, amount=body.amount, key=idempotency.operation_key())

    return wishes


@pytest.fixture
def client(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlaskClient]:
    monkeypatch.setenv("API_KEYS", f"house:{HOUSE_KEY}")
    monkeypatch.setattr(api_app, "RESOURCES", (_wishes(),))
    settings.get.cache_clear()
    yield api_app.create_app().test_client()
    settings.get.cache_clear()


def post(
    client: FlaskClient, body: bytes, *, content_type: str | None = "application/json"
) -> TestResponse:
    headers = {"Authorization": f"Bearer {HOUSE_KEY}", "Idempotency-Key": "k-1"}
    return client.post("/v1/wishes", data=body, headers=headers, content_type=content_type)


def test_a_view_gets_what_was_sent_and_its_caller(client: FlaskClient) -> None:
    answer = post(client, b'{"amount": 7, "at": "2026-11-20T08:00:00Z"}')

    assert answer.status_code == 201
    assert answer.json == {"by": "house", "amount": 7, "key": "api:house:k-1"}


def test_what_it_changes_is_recorded_as_asked_by_the_key(client: FlaskClient) -> None:
    assert post(client, b'{"amount": 7}').status_code == 201

    assert rows("SELECT actor, door FROM billing_audit_log WHERE action = 'wish.made'") == [
        ("api-key:house", "api")
    ]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"{}", ["amount"]),
        (b'{"amount": 0}', ["amount"]),
        (b'{"amount": "7"}', ["amount"]),
        (b'{"amount": 7.0}', ["amount"]),
        (b'{"amount": true}', ["amount"]),
        (b'{"amount": NaN}', ["amount"]),
        (b'{"amount": 7, "at": 1700000000}', ["at"]),
        (b'{"amount": 7, "named": {"a": "x"}}', ["named.a"]),
        (b'{"amount": null, "at": 7}', ["amount", "at"]),
        (b"[]", ["body"]),
        (b'"text"', ["body"]),
        (b"null", ["body"]),
    ],
)
def test_bad_fields_are_named(client: FlaskClient, body: bytes, fields: list[str]) -> None:
    answer = post(client, body)

    assert answer.status_code == 422
    shown = answer.get_json(force=True)
    assert [error["field"] for error in shown["errors"]] == fields
    assert all(field in shown["detail"] for field in fields)


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff\xfe{}", "application/json", 400),
        (b"[" * 10_000, "application/json", 400),
        (b'{"amount": 7}', None, 415),
        (b'{"amount": 7}', "text/plain", 415),
        (b'{"amount": 7}', "application/x-www-form-urlencoded", 415),
    ],
)
def test_a_body_that_is_no_readable_json_is_refused(
    client: FlaskClient, body: bytes, content_type: str | None, status: int
) -> None:
    answer = post(client, body, content_type=content_type)

    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"


def test_what_goes_wrong_inside_stays_inside(
    client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = post(client, b'{"amount": 13}')

    assert answer.status_code == 500
    assert answer.content_type == "application/problem+json"
    assert b"inside story" not in answer.data


def test_its_document_tells_of_body_header_and_refusals(client: FlaskClient) -> None:
    operation = client.get("/openapi.json").get_json(force=True)["paths"]["/v1/wishes"]["post"]

    assert list(operation["requestBody"]["content"]) == ["application/json"]
    [header] = operation["parameters"]
    assert (header["name"], header["in"], header["required"]) == ("Idempotency-Key", "header", True)
    assert operation["responses"].keys() >= {"201", "400", "409", "413", "415", "422"}


def test_a_post_reads_its_headers_by_no_model_of_its_own() -> None:
    resource = APIBlueprint("others", __name__)

    def make(header: Wish) -> Granted:
        raise AssertionError

    with pytest.raises(TypeError, match="make: a POST view cannot take `header`"):
        route(resource, HTTPMethod.POST, "/x", scope="leads:write", answers=Granted)(make)

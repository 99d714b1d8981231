"""How both servers read bodies; over HTTP: tests/api and tests/webhook_receiver."""

import io

import pytest
from flask import Flask, Response, request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from service import http_bodies


@pytest.fixture
def app() -> Flask:
    app = Flask(__name__)
    http_bodies.limit_bodies(app, max_bytes=10)
    return app


def test_a_body_up_to_the_limit_is_read_again_and_again(app: Flask) -> None:
    with app.test_request_context(method="POST", data=b"0123456789"):
        assert http_bodies.read_body(request, max_bytes=10) == b"0123456789"
        assert http_bodies.read_body(request, max_bytes=10) == b"0123456789"


def test_a_longer_body_is_refused(app: Flask) -> None:
    with (
        app.test_request_context(method="POST", data=b"0123456789a"),
        pytest.raises(RequestEntityTooLarge),
    ):
        http_bodies.read_body(request, max_bytes=10)


def test_after_the_answer_the_refused_body_is_read_on(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_bodies, "LINGER_BYTES", 100_000)
    body = io.BytesIO(b"x" * 150_000)
    with app.test_request_context(method="POST", input_stream=body):
        response = Response(b"too long", 413)
        http_bodies.read_on_after(response, request)
    pieces = response.iter_encoded()

    assert next(pieces) == b"too long"
    assert body.tell() == 0
    assert list(pieces) == []
    assert body.tell() == 100_000


@pytest.mark.parametrize("text", ['{"a": 1, "b": {"a": 2}}', "[1, 1]", "NaN", "no JSON", ""])
def test_a_text_without_a_field_twice_is_left_to_the_parser(text: str) -> None:
    assert http_bodies.json_text(text.encode()) == text


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"a": 1, "a": 1}', "has the same field twice"),
        (b'{"b": [{"a": 1, "\\u0061": 2}]}', "has the same field twice"),
        (b'{"a": "\xff"}', "must be UTF-8"),
    ],
)
def test_a_field_given_twice_is_refused_and_what_is_not_utf_8(body: bytes, problem: str) -> None:
    with pytest.raises(BadRequest, match=problem):
        http_bodies.json_text(body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b"{}", True), (b"17", True), (b"", False), (b"\xff", False), (b"[" * 100_000, False)],
)
def test_what_is_json_at_all(body: bytes, expected: bool) -> None:
    assert http_bodies.is_json(body) is expected

"""What both servers make of a body; how they read it: tests/service/test_asgi.py."""

import pytest
from werkzeug.exceptions import BadRequest

from service import http_bodies


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

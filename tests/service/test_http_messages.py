"""A request's head as the server read it, and what of it is refused before anything else."""

from typing import Any

import pytest

from service import request_ids
from service.http_messages import (
    REQUEST_ID,
    HeaderRules,
    Refused,
    answer_of,
    environ_of,
    put_body,
)

RULES = HeaderRules(without_comma=frozenset({"host"}))


def scope(*headers: tuple[str, str], path: bytes = b"/v1/x", query: bytes = b"") -> dict[str, Any]:
    return {
        "method": "POST",
        "raw_path": path,
        "query_string": query,
        "http_version": "1.1",
        "server": ("127.0.0.1", "8001"),
        "client": ("127.0.0.2", "40000"),
        "scheme": "http",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }


@pytest.mark.parametrize(
    "name", ["authorization", "content-type", "content-length", "host", "transfer-encoding"]
)
@pytest.mark.parametrize("second", ["a", "b"], ids=["the same", "another"])
def test_a_header_that_may_come_once_is_refused_if_it_comes_twice(name: str, second: str) -> None:
    with pytest.raises(Refused, match=f"the header {name} was sent twice") as refused:
        environ_of(scope((name, "a"), (name.title(), second)), RULES)

    assert refused.value.status == 400


def test_a_header_that_a_proxy_joined_from_two_is_refused_by_its_comma() -> None:
    with pytest.raises(Refused, match="host must not hold a comma"):
        environ_of(scope(("host", "a,a")), RULES)


def test_other_headers_may_come_twice_and_are_joined() -> None:
    sent = scope(("accept", "a/b"), ("accept", "c/d"), ("cookie", "x=1"), ("cookie", "y=2"))

    environ = environ_of(sent, RULES)

    assert environ["HTTP_ACCEPT"] == "a/b,c/d"
    assert environ["HTTP_COOKIE"] == "x=1; y=2"


@pytest.mark.parametrize("name", ["content_length", "content_type", "idempotency_key"])
def test_a_name_with_an_underscore_does_not_pass_for_one_with_a_hyphen(name: str) -> None:
    environ = environ_of(scope((name, "1")), RULES)

    assert "1" not in environ.values()


def test_path_and_query_reach_the_app_as_they_were_sent() -> None:
    environ = environ_of(scope(path=b"/v1/%ff/caf%C3%A9%2Fx", query=b"after=%ff&x=a+b"), RULES)

    assert environ["PATH_INFO"].encode("latin-1") == b"/v1/\xff/caf\xc3\xa9/x"
    assert environ["QUERY_STRING"] == "after=%ff&x=a+b"
    assert environ["REMOTE_ADDR"] == "127.0.0.2"


def test_a_chunked_body_reaches_the_app_with_its_length() -> None:
    environ = environ_of(scope(("transfer-encoding", "chunked")), RULES)

    put_body(environ, b"12345")

    assert environ["CONTENT_LENGTH"] == "5"
    assert environ["wsgi.input"].read() == b"12345"
    assert "HTTP_TRANSFER_ENCODING" not in environ


def test_an_app_is_called_to_its_end_and_closed() -> None:
    closed: list[bool] = []

    class Pieces(list[bytes]):
        def close(self) -> None:
            closed.append(True)

    def app(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("201 CREATED", [("X-A", "b")])
        return Pieces([b"a", b"b"])

    answer = answer_of(app, {})

    assert (answer.status, answer.headers, answer.body) == (201, [("X-A", "b")], b"ab")
    assert closed == [True]


def test_the_application_is_called_under_the_id_of_its_request_and_no_longer() -> None:
    seen = []

    def app(_environ: Any, start_response: Any) -> list[bytes]:
        seen.append(request_ids.current())
        start_response("200 OK", [])
        return [b""]

    answer_of(app, {REQUEST_ID: "shop-7f3a"})
    answer_of(app, {})

    assert seen == ["shop-7f3a", None]
    assert request_ids.current() is None

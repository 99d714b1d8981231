"""The door before Flask, with the server's events played: what passes, and what is refused.

Over HTTP: tests/api/test_whole_messages.py and tests/webhook_receiver/test_whole_messages.py.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from service import asgi, request_ids
from service.asgi import Adapter, Door
from service.http_messages import REQUEST_ID, Answer, Environ, HeaderRules, Refused
from tests.service.test_http_messages import scope

MAX = 200_000
DISCONNECT = {"type": "http.disconnect"}


def part(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


END = part(b"", more=False)


class Exchange:
    """One request through an adapter, its application, and what was sent back."""

    def __init__(self, *, broken: bool = False) -> None:
        self.bodies: list[bytes] = []
        self.sent: list[dict[str, Any]] = []
        self.read = 0
        self.seen_ids: list[str | None] = []
        """The ids under which the application, or who refuses, was called."""
        self._broken = broken
        door = Door(
            self._call, self._refuse, max_body_bytes=MAX, headers=HeaderRules(), body_seconds=0.05
        )
        self.adapter = Adapter(door)

    async def _call(self, environ: Environ) -> Answer:
        if self._broken:
            raise ZeroDivisionError
        self.seen_ids.append(environ[REQUEST_ID])
        self.bodies.append(environ["wsgi.input"].read())
        return Answer(202, [("Content-Type", "text/plain")], b"done")

    def _refuse(self, refused: Refused, path: str) -> Answer:
        self.seen_ids.append(request_ids.current())
        return Answer(refused.status, [], f"{path}: {refused.detail}".encode())

    def of(self, *headers: tuple[str, str], events: tuple[Mapping[str, Any], ...] = ()) -> int:
        """Play a request; return the status."""

        async def receive() -> Mapping[str, Any]:
            if self.read == len(events):
                await asyncio.sleep(60)  # the client says no more
            self.read += 1
            return events[self.read - 1]

        async def send(event: dict[str, Any]) -> None:
            self.sent.append(event)

        asyncio.run(self.adapter({**scope(*headers), "path": "/v1/x"}, receive, send))
        assert self.sent[-1]["more_body"] is False
        return int(self.sent[0]["status"])

    @property
    def closes(self) -> bool:
        return (b"connection", b"close") in self.sent[0]["headers"]


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch) -> Exchange:
    monkeypatch.setattr(asgi, "LINGER_SECONDS", 0.05)
    return Exchange()


@pytest.mark.parametrize(
    ("headers", "events", "body"),
    [
        ((), (), b""),
        ((("content-length", "0"),), (), b""),
        ((("content-length", "4"),), (part(b"ab"), part(b"cd")), b"abcd"),
        ((("transfer-encoding", "chunked"),), (part(b"ab"), part(b"cd"), END), b"abcd"),
        ((("transfer-encoding", "chunked"),), (END,), b""),
    ],
)
def test_a_whole_message_reaches_the_app(
    exchange: Exchange, headers: Any, events: Any, body: bytes
) -> None:
    assert exchange.of(*headers, events=events) == 202
    assert exchange.bodies == [body]
    assert not exchange.closes


@pytest.mark.parametrize(
    ("framing", "events"),
    [
        (("content-length", "13"), (DISCONNECT,)),
        (("content-length", "13"), (part(b"ab"), DISCONNECT)),
        (("content-length", "13"), (part(b"ab"), END)),
        (("transfer-encoding", "chunked"), (DISCONNECT,)),
        (("transfer-encoding", "chunked"), (part(b"ab"), DISCONNECT)),
    ],
)
def test_an_incomplete_message_is_never_taken_for_an_absent_one(
    exchange: Exchange, framing: tuple[str, str], events: Any
) -> None:
    assert exchange.of(framing, events=events) == 400
    assert exchange.bodies == []
    assert b"the body ended early" in exchange.sent[1]["body"]
    assert exchange.closes


@pytest.mark.parametrize(
    ("headers", "events", "status"),
    [
        ((("content-length", "9"),), (part(b"a"),), 408),
        ((("transfer-encoding", "chunked"),), (part(b"a"),), 408),
        ((("content-length", str(MAX + 1)),), (), 413),
        ((("transfer-encoding", "chunked"),), (part(b"x" * MAX), part(b"x")), 413),
        ((("content-length", "1x"),), (), 400),
        ((("content-length", "-1"),), (), 400),
        ((("content-length", "1"), ("transfer-encoding", "chunked")), (), 400),
        ((("content-length", "1"), ("host", "a"), ("host", "a")), (), 400),
    ],
)
def test_a_refusal_that_leaves_the_body_unread_closes_the_connection(
    exchange: Exchange, headers: Any, events: Any, status: int
) -> None:
    assert exchange.of(*headers, events=events) == status
    assert exchange.bodies == []
    assert exchange.closes


def test_after_such_an_answer_the_body_is_read_on_for_a_while(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "LINGER_BYTES", 100_000)
    pieces = [part(b"x" * 10_000)] * 30

    exchange.of(("content-length", str(MAX + 1)), events=tuple(pieces))

    assert exchange.sent[1]["body"]
    assert exchange.sent[1]["more_body"] is True
    assert exchange.read == 10


def test_a_client_that_waits_to_be_asked_for_a_body_is_not_asked(exchange: Exchange) -> None:
    announced = ("content-length", str(MAX + 1))

    assert exchange.of(announced, ("expect", "100-continue"), events=(part(b"x"),)) == 413
    assert exchange.read == 0


def test_large_bodies_that_come_together_are_bounded_and_small_ones_still_pass(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "LARGE_BODIES_BYTES", 0)
    large = b"x" * (asgi.SMALL_BODY_BYTES + 1)

    assert exchange.of(("content-length", str(len(large))), events=(part(large),)) == 503

    again = Exchange()
    assert again.of(("content-length", "3"), events=(part(b"abc"),)) == 202


def test_what_goes_wrong_in_the_app_itself_is_a_500_without_a_word_of_it() -> None:
    exchange = Exchange(broken=True)

    assert exchange.of() == 500
    assert exchange.sent[1]["body"] == b"Internal Server Error"


@pytest.mark.parametrize(
    ("headers", "events", "status"),
    [
        ((), (), 202),
        ((("content-length", "5"),), (part(b"12"), DISCONNECT), 400),
        ((("content-length", "5"),), (), 408),
        ((("content-length", str(MAX + 1)),), (), 413),
        ((("content-type", "a"), ("content-type", "b")), (), 400),
    ],
)
def test_every_answer_has_the_id_of_its_request(
    exchange: Exchange,
    headers: tuple[tuple[str, str], ...],
    events: tuple[Mapping[str, Any], ...],
    status: int,
) -> None:
    assert exchange.of(("x-request-id", "shop-7f3a"), *headers, events=events) == status

    assert (b"x-request-id", b"shop-7f3a") in exchange.sent[0]["headers"]
    assert exchange.seen_ids == ["shop-7f3a"]  # by the application, or by who refuses
    assert request_ids.current() is None


def test_an_answer_of_the_last_resort_has_the_id_too() -> None:
    broken = Exchange(broken=True)

    assert broken.of(("x-request-id", "shop-7f3a")) == 500
    assert (b"x-request-id", b"shop-7f3a") in broken.sent[0]["headers"]


def test_an_id_that_came_twice_is_replaced_and_does_no_harm(exchange: Exchange) -> None:
    assert exchange.of(("x-request-id", "shop-7f3a"), ("x-request-id", "shop-7f3a")) == 202

    (made,) = [value for name, value in exchange.sent[0]["headers"] if name == b"x-request-id"]
    assert made.startswith(b"req_")

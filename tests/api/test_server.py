"""How the API calls its app: in threads of its callers' shares; with an app of the test's own."""

import asyncio
import json
from dataclasses import replace
from threading import Event
from typing import Any

import pytest
from flask import Flask, Response, request

from api import problems, server
from api.app import create_app
from api.routes import gateway_paths
from service.http_messages import Answer, Refused

SIZES = replace(
    server.SIZES, threads=3, of_a_caller=2, waiting_of_a_caller=1, wait_seconds=0.3
)  # fmt: skip


class World:
    """An app that knows one key, and answers `/v1/wait` when it may."""

    def __init__(self) -> None:
        self.may_answer = Event()
        self.begun = 0
        app = Flask("tests")
        app.add_url_rule("/v1/wait", "wait", self._wait)
        app.add_url_rule("/v1/now", "now", self._now)
        app.add_url_rule("/readyz", "readyz", self._wait)
        app.add_url_rule("/healthz", "healthz", Response)
        self.calls = server._Calls(app)

    def _now(self) -> Response:
        return Response(status=200 if request.headers["Authorization"] == "valid" else 401)

    def _wait(self) -> Response:
        self.begun += 1
        self.may_answer.wait(10)
        return self._now()

    async def ask(self, path: str, key: str) -> Answer | Refused:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET", "PATH_INFO": path, "HTTP_AUTHORIZATION": key,
            "SERVER_NAME": "tests", "SERVER_PORT": "80", "wsgi.url_scheme": "http",
            "SERVER_PROTOCOL": "HTTP/1.1",
        }  # fmt: skip
        try:
            return await self.calls.answer(environ)
        except Refused as refused:
            return refused


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(server, "SIZES", SIZES)
    return World()


def test_a_key_with_more_in_progress_than_its_share_is_asked_to_come_again(world: World) -> None:
    async def story() -> tuple[list[Answer | Refused], Answer | Refused]:
        await world.ask("/v1/now", "valid")
        crowd = [asyncio.create_task(world.ask("/v1/wait", "valid")) for _ in range(4)]
        other = await world.ask("/v1/now", "unknown")
        await asyncio.sleep(0.5)
        world.may_answer.set()
        return [await one for one in crowd], other

    crowd, other = asyncio.run(story())

    assert world.begun == 2
    assert isinstance(other, Answer)
    assert other.status == 401
    refused = [one for one in crowd if isinstance(one, Refused)]
    assert [(one.status, one.kind) for one in refused] == [(429, "too-many-requests")] * 2


def test_whoever_makes_up_keys_gets_one_share_for_all_of_them(world: World) -> None:
    async def story() -> Answer | Refused:
        await world.ask("/v1/now", "valid")
        made_up = [asyncio.create_task(world.ask("/v1/wait", f"made-up-{n}")) for n in range(3)]
        await asyncio.sleep(0.05)
        answer = await world.ask("/v1/now", "valid")
        world.may_answer.set()
        await asyncio.gather(*made_up)
        return answer

    answer = asyncio.run(story())

    assert isinstance(answer, Answer)
    assert answer.status == 200


def test_the_process_is_alive_while_every_thread_waits_for_a_database_that_hangs(
    world: World,
) -> None:
    async def story() -> Answer | Refused:
        waiting = [asyncio.create_task(world.ask("/readyz", "valid")) for _ in range(3)]
        waiting += [asyncio.create_task(world.ask("/v1/wait", "valid")) for _ in range(3)]
        await asyncio.sleep(0.05)
        answer = await world.ask("/healthz", "")
        world.may_answer.set()
        await asyncio.gather(*waiting)
        return answer

    answer = asyncio.run(story())

    assert isinstance(answer, Answer)
    assert answer.status == 200


def test_a_429_is_a_problem_that_says_when_to_come_again() -> None:
    answer = problems.of_unread(Refused(429, "later", kind="too-many-requests"), "/v1/x")

    assert json.loads(answer.body) == {
        "type": "urn:problem-type:billing:too-many-requests", "title": "Too Many Requests",
        "status": 429, "detail": "later", "request_id": None,  # of no request: it is called here
    }  # fmt: skip
    assert int(dict(answer.headers)["Retry-After"]) > 0


def test_the_paths_that_ask_a_gateway_are_marked() -> None:
    assert gateway_paths(create_app()) == {"/v1/orders", "/v1/payments/verify", "/v1/refunds"}

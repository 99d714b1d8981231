"""The blueprint: what it answers, what it hands on, and what it never does."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

import pytest
from flask import Flask, abort, got_request_exception
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

import clock
from billing_client import InvalidRequest, Notice
from billing_client.flask_notices import notices
from billing_client.notice_memory import InProcessMemory, State, Turn
from billing_client.notice_receiver import NoticeReceiver
from billing_client.notice_types import BalanceLow, BalanceRecovered, PaymentCaptured
from billing_client.notices import notice_of
from tests.billing_client.notice_world import (
    OF_NOBODY,
    OLD_SECRET,
    SECRET,
    body_of,
    example,
    signed,
)

Send = Callable[..., TestResponse]


class Platform:
    """A Flask app with the blueprint, and what its handlers were given."""

    def __init__(self, handlers: Any = None, **options: Any) -> None:
        self.got: list[Notice] = []
        self.app = Flask("platform")
        chosen = {"*": self.got.append} if handlers is None else handlers
        self.hooks = notices(chosen, options.pop("secrets", SECRET), **options)
        self.app.register_blueprint(self.hooks)

    def post(self, body: bytes, headers: dict[str, str], path: str = "/hooks") -> TestResponse:
        return self.app.test_client().post(path, data=body, headers=headers)

    def send(
        self, topic: str = "balance.low", *, notice_id: str = "ntc_17", **data: Any
    ) -> TestResponse:
        body = body_of(topic, example(topic, **data))
        return self.post(body, signed(body, notice_id=notice_id, at=clock.real_now()))


@pytest.fixture
def caught(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


def test_a_notice_reaches_the_handler_of_its_topic_and_is_answered_204() -> None:
    low: list[BalanceLow] = []
    platform = Platform({"balance.low": low.append})
    answer = platform.send()
    assert (answer.status_code, answer.data) == (204, b"")
    [notice] = low
    assert (type(notice), notice.balance, notice.id) == (BalanceLow, 420, "ntc_17")


def test_the_most_exact_handler_is_called_and_no_other() -> None:
    called: list[str] = []

    def handler(name: str) -> Callable[[Notice], None]:
        return lambda notice: called.append(f"{name} {notice.topic}")

    platform = Platform({name: handler(name) for name in ("balance.low", "balance.*", "*")})
    for number, topic in enumerate(("balance.low", "balance.recovered", "payment.captured")):
        platform.send(topic, notice_id=f"ntc_{number}", sequence=number + 1)
    assert called == [
        "balance.low balance.low", "balance.* balance.recovered", "* payment.captured",
    ]  # fmt: skip


def test_a_topic_without_a_handler_and_one_of_a_newer_server_are_accepted() -> None:
    platform = Platform({"balance.low": pytest.fail})
    assert platform.send("payment.captured").status_code == 204
    body = body_of("comet.seen", {"account": "clinic:42", "sequence": 1, "tail": [1]})
    assert platform.post(body, signed(body, at=clock.real_now())).status_code == 204
    # And `*` gets what the newer server sends as a plain notice
    everything = Platform()
    assert everything.post(body, signed(body, at=clock.real_now())).status_code == 204
    assert everything.got[0].data["tail"] == [1]


def test_a_repeat_is_accepted_and_not_handled_again() -> None:
    platform = Platform()
    for _ in range(3):
        assert platform.send().status_code == 204
    assert len(platform.got) == 1


def test_a_stale_state_is_accepted_and_not_handled_and_a_late_fact_is() -> None:
    platform = Platform()
    for number, (topic, sequence) in enumerate(
        [
            ("balance.recovered", 8),
            ("balance.low", 7),
            ("payment.captured", 6),
            ("refund.processed", 5),
            ("balance.exhausted", 9),
        ]
    ):
        answer = platform.send(topic, notice_id=f"ntc_{number}", sequence=sequence)
        assert answer.status_code == 204
    assert [one.topic for one in platform.got] == [
        "balance.recovered", "payment.captured", "refund.processed", "balance.exhausted",
    ]  # fmt: skip


def test_a_state_counts_even_without_a_handler_for_it() -> None:
    platform = Platform({"balance.low": pytest.fail})
    assert platform.send("balance.recovered", notice_id="ntc_2", sequence=8).status_code == 204
    assert platform.send("balance.low", notice_id="ntc_1", sequence=7).status_code == 204


@pytest.mark.parametrize("failure", [RuntimeError("no"), KeyError("x"), InvalidRequest("y")])
def test_a_handler_that_fails_gets_the_notice_again(
    failure: Exception, caught: pytest.LogCaptureFixture
) -> None:
    got: list[Notice] = []

    def handler(notice: Notice) -> None:
        got.append(notice)
        if len(got) == 1:
            raise failure

    platform = Platform({"*": handler})
    seen: list[BaseException] = []
    with got_request_exception.connected_to(
        lambda _, exception, **__: seen.append(exception), platform.app
    ):
        answer = platform.send()
    # Then it is a problem without the reason, which Flask's log and its listeners have
    assert (answer.status_code, answer.mimetype) == (500, "application/problem+json")
    assert answer.json["type"] == "urn:problem-type:billing:internal-error"  # type: ignore[index]
    assert seen == [failure]
    [logged] = [one for one in caught.records if one.levelno >= logging.ERROR]
    assert logged.exc_info
    assert logged.exc_info[1] is failure
    # And the same notice is handled when it comes again, and then no more
    assert [platform.send().status_code for _ in range(2)] == [204, 204]
    assert len(got) == 2


def test_no_way_leads_to_410_or_a_redirect() -> None:
    def gone(_: Notice) -> None:
        abort(410)

    def moved(_: Notice) -> object:
        return "https://elsewhere.example", 301

    platform = Platform({"balance.low": gone, "payment.captured": moved})
    platform.app.register_error_handler(Exception, lambda _: ("gone", 410))
    platform.app.register_error_handler(410, lambda _: ("gone", 410))
    assert platform.send().status_code == 500
    assert platform.send("payment.captured", notice_id="ntc_2").status_code == 204
    assert platform.post(b"", {}).status_code == 400


def test_a_shutdown_in_the_handler_is_raised_and_the_notice_comes_again() -> None:
    def stopped(_: Notice) -> None:
        raise SystemExit

    memory = InProcessMemory()
    platform = Platform({"*": stopped}, memory=memory)
    with pytest.raises(SystemExit):
        platform.send()
    assert memory.begin("ntc_17", None) is Turn.HANDLE


def test_what_is_not_signed_as_it_should_be_is_a_problem_and_reaches_no_handler(
    caught: pytest.LogCaptureFixture,
) -> None:
    platform = Platform({"*": pytest.fail})
    body, now = body_of("balance.low", example("balance.low")), clock.real_now()
    good = signed(body, at=now)
    for headers, content, status, kind in (
        ({}, body, 400, "invalid-notice"),
        ({**good, "webhook-signature": "v1"}, body, 401, "notice-not-verified"),
        (signed(body, at=now, secret=OF_NOBODY), body, 401, "notice-not-verified"),
        (good, body + b" ", 401, "notice-not-verified"),
        (signed(body), body, 401, "notice-not-verified"),  # of another day
        (signed(b"\xff", at=now), b"\xff", 400, "invalid-notice"),
        (signed(b"{}", at=now), b"{}", 400, "invalid-notice"),
    ):
        answer = platform.post(content, headers)
        assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
        assert answer.json["type"].endswith(kind), answer.json  # type: ignore[index]
        assert answer.json["detail"]  # type: ignore[index]
    assert SECRET[6:20] not in caught.text
    assert "clinic:42" not in caught.text


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_long_is_not_read(chunked: bool) -> None:
    platform = Platform({"*": pytest.fail}, max_bytes=2_000)
    long = b"x" * 10_000_000

    class Stream:
        taken = 0

        def read(self, size: int = -1) -> bytes:
            assert size >= 0, "all of it is read"
            self.taken += size
            return long[:size]

        def readinto(self, place: Any) -> int:
            place[:] = self.read(len(place))
            return len(place)

    stream = Stream()
    environ: dict[str, Any] = EnvironBuilder("/hooks", method="POST").get_environ()
    environ["wsgi.input"] = stream
    more = {"wsgi.input_terminated": True} if chunked else {"CONTENT_LENGTH": str(len(long))}
    pieces, status, _ = run_wsgi_app(platform.app, environ | more)
    assert status.startswith("413")
    assert json.loads(b"".join(pieces))["type"].endswith(":too-long")
    assert stream.taken <= 2_001


def test_a_notice_of_exactly_the_longest_length_is_read() -> None:
    body = body_of("balance.low", example("balance.low"))
    headers = signed(body, at=clock.real_now())
    assert Platform(max_bytes=len(body)).post(body, headers).status_code == 204
    assert Platform(max_bytes=len(body) - 1).post(body, headers).status_code == 413


def test_other_methods_are_refused() -> None:
    client = Platform().app.test_client()
    assert [getattr(client, one)("/hooks").status_code for one in ("get", "put", "delete")] == [
        405, 405, 405,
    ]  # fmt: skip


def test_a_repeat_that_comes_while_the_first_is_handled_is_sent_later() -> None:
    begun, end = Event(), Event()
    got: list[Notice] = []

    def slow(notice: Notice) -> None:
        got.append(notice)
        begun.set()
        assert end.wait(10)

    platform = Platform({"*": slow})
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(platform.send)
        assert begun.wait(10)
        second = platform.send()
        newer = platform.send("balance.recovered", notice_id="ntc_18", sequence=18)
        end.set()
        assert first.result().status_code == 204
    assert (second.status_code, newer.status_code) == (409, 409)
    assert int(second.headers["Retry-After"]) > 0
    assert [platform.send().status_code, len(got)] == [204, 1]
    assert platform.send("balance.recovered", notice_id="ntc_18", sequence=18).status_code == 204


def test_many_threads_handle_each_notice_once() -> None:
    platform, start = Platform(), Barrier(8)

    def send_all(_: int) -> list[int]:
        start.wait()
        return [
            platform.send("payment.captured", notice_id=f"ntc_{n}").status_code for n in range(20)
        ]

    with ThreadPoolExecutor(8) as threads:
        statuses = {one for some in threads.map(send_all, range(8)) for one in some}
    assert statuses <= {204, 409}
    assert sorted(one.id for one in platform.got) == sorted(f"ntc_{n}" for n in range(20))


def test_an_async_handler_is_awaited_and_its_failure_counts() -> None:
    got: list[Notice] = []

    async def handler(notice: Notice) -> None:
        await asyncio.sleep(0)
        got.append(notice)
        if len(got) == 1:
            raise RuntimeError("no")

    platform = Platform({"*": handler})
    assert [platform.send().status_code for _ in range(3)] == [500, 204, 204]
    assert len(got) == 2


def test_during_a_rotation_both_secrets_are_accepted() -> None:
    platform = Platform(secrets=[SECRET, OLD_SECRET])
    body, now = body_of("balance.low", example("balance.low")), clock.real_now()
    for place, secret in enumerate((SECRET, OLD_SECRET)):
        headers = signed(body, secret=secret, notice_id=f"ntc_{place}", at=now)
        assert platform.post(body, headers).status_code == 204


def test_two_blueprints_stand_side_by_side_and_where_the_app_wants_them() -> None:
    platform = Platform()
    other: list[Notice] = []
    second = notices({"*": other.append}, OLD_SECRET, path="/in", name="second")
    platform.app.register_blueprint(second, url_prefix="/pharma")
    body = body_of("balance.low", example("balance.low"))
    headers = signed(body, secret=OLD_SECRET, at=clock.real_now())
    assert platform.post(body, headers, path="/pharma/in").status_code == 204
    assert platform.post(body, headers).status_code == 401
    assert (len(other), platform.got) == (1, [])


@pytest.mark.parametrize(
    ("handlers", "secrets", "message"),
    [
        ({}, [], "secrets: give the secret"),
        ({}, None, "secrets: give the secret"),  # of a variable that is not set
        ({}, ["whsec_x"], r"secrets\[0\]: must be whsec_"),
        ({"balance.low": "warn"}, SECRET, "that of 'balance.low' must be a function"),
    ],
)
def test_what_is_wrong_is_found_when_the_app_is_made(
    handlers: Any, secrets: Any, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        notices(handlers, secrets)


def test_a_handler_for_a_topic_that_does_not_exist_is_named_in_the_log(
    caught: pytest.LogCaptureFixture,
) -> None:
    notices({"balance.lwo": print, "comet.seen": print, "lead.*": print, "*": print}, SECRET)
    assert [one.getMessage() for one in caught.records] == [
        "handlers: this version knows no topic 'balance.lwo': did you mean balance.low?",
        "handlers: this version knows no topic 'comet.seen'",
    ]


def test_a_memory_that_fails_lets_the_notice_come_again() -> None:
    class Broken(InProcessMemory):
        works = False

        def begin(self, notice_id: str, state: State | None) -> Turn:
            if not self.works:
                raise ConnectionError("no Redis")
            return super().begin(notice_id, state)

    memory = Broken()
    platform = Platform(memory=memory)
    assert platform.send().status_code == 500
    memory.works = True
    assert platform.send().status_code == 204
    assert len(platform.got) == 1


# Without Flask


def test_what_was_pulled_and_what_was_sent_is_handled_once() -> None:
    platform = Platform()
    content = {
        "type": "payment.captured",
        "timestamp": "2026-11-30T12:00:00Z",
        "data": example("payment.captured"),
    }
    pulled = notice_of("ntc_17", content)
    assert platform.hooks.receiver.take(pulled) is Turn.HANDLE
    assert platform.send("payment.captured").status_code == 204
    assert platform.hooks.receiver.take(pulled) is Turn.REPEAT
    assert [type(one) for one in platform.got] == [PaymentCaptured]


def test_a_receiver_of_another_framework_gets_status_headers_and_body(
    caught: pytest.LogCaptureFixture,
) -> None:
    def handler(notice: BalanceRecovered) -> None:
        raise RuntimeError("no")

    receiver = NoticeReceiver({"balance.recovered": handler}, SECRET, max_bytes=1_000)
    body, now = body_of("balance.low", example("balance.low")), clock.real_now()
    pairs = [(name.encode(), value.encode()) for name, value in signed(body, at=now).items()]
    done = receiver.receive(body, pairs)
    assert (done.status, done.headers, done.body) == (204, {}, b"")
    refused = receiver.receive(body, {})
    assert (refused.status, refused.headers["Content-Type"]) == (400, "application/problem+json")
    assert receiver.receive(b"x" * 1_001, {}).status == 413
    other = body_of("balance.recovered", example("balance.recovered", sequence=18))
    failed = receiver.receive(other, signed(other, at=now, notice_id="ntc_2"))
    assert failed.status == 500
    assert "a handler of notices failed" in caught.text


def test_outside_of_flask_a_handler_that_nothing_would_await_is_refused() -> None:
    async def handler(notice: Notice) -> None:
        """Never run."""

    with pytest.raises(InvalidRequest, match="must not be `async`"):
        NoticeReceiver({"*": handler}, SECRET)

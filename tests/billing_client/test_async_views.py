"""`require_credits` on an `async` view of Flask: as on any other view."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask, Response, request
from flask.views import MethodView

from billing_client import AsyncBillingClient, InvalidRequest, credits_used, require_credits
from tests.billing_client.bank import API_KEY, OPENING, Bank, problem, selling, serving
from tests.billing_client.views import PRICE, Work, priced, seen

View = Callable[[], Awaitable[Any]]


def view_of(work: Work) -> View:
    async def view() -> Any:
        """Work."""
        await asyncio.sleep(0)
        return work()

    return view


def test_it_stays_what_it_was(bank: Bank) -> None:
    view = priced(bank, view_of(Work()))
    assert inspect.iscoroutinefunction(view)
    assert (view.__name__, view.__doc__) == ("view", "Work.")
    assert list(inspect.signature(view).parameters) == []


def test_a_view_that_succeeds_is_charged_before_its_answer_is_there(bank: Bank) -> None:
    held_inside: list[object] = []
    work = Work(lambda: held_inside.extend(bank.holds()))
    with selling(priced(bank, view_of(work))) as platform:
        answer = platform.post()

        assert (answer.status, answer.json) == (200, {"done": True})
        assert held_inside == [("open", PRICE, 0)]
        assert bank.holds() == [("captured", PRICE, PRICE)]


def test_what_was_really_used_is_charged_also_by_tasks_and_threads(bank: Bank) -> None:
    async def in_a_task() -> None:
        credits_used(7)

    async def view() -> Any:
        await asyncio.create_task(in_a_task())
        return dict(await request_in_thread())

    async def request_in_thread() -> Any:
        await asyncio.to_thread(credits_used, 12)
        return request.get_json()

    with selling(priced(bank, view)) as platform:
        assert platform.post(body=b'{"a": 1}').json == {"a": 1}
    assert bank.holds() == [("captured", PRICE, 12)]


@pytest.mark.parametrize(
    "answer", [lambda: ({"error": "no"}, 404), lambda: Response("no", 500)], ids=["404", "500"]
)
def test_an_answer_that_says_it_failed_is_not_charged(
    bank: Bank, answer: Callable[[], Any]
) -> None:
    with selling(priced(bank, view_of(Work(answer)))) as platform:
        assert platform.post().status in (404, 500)
    assert bank.holds() == [("voided", PRICE, 0)]


def test_an_exception_goes_on_unchanged_and_nothing_is_charged(bank: Bank) -> None:
    broken = LookupError("x")

    def fail() -> None:
        raise broken

    caught: list[Exception] = []
    app = Flask("platform")
    app.register_error_handler(LookupError, seen(caught, 418))
    app.post("/work")(priced(bank, view_of(Work(fail))))
    with serving(app) as platform:
        assert platform.post().status == 418
    assert caught == [broken]
    assert bank.holds() == [("voided", PRICE, 0)]


def test_a_view_that_is_cancelled_is_not_charged(bank: Bank) -> None:
    def cancel() -> None:
        raise asyncio.CancelledError

    app = Flask("platform")
    app.post("/work")(priced(bank, view_of(Work(cancel))))
    with pytest.raises(asyncio.CancelledError):
        app.test_client().post("/work")
    assert bank.holds() == [("voided", PRICE, 0)]


def test_a_view_that_runs_out_of_its_own_time_is_not_charged(bank: Bank) -> None:
    async def view() -> Any:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)

    caught: list[Exception] = []
    app = Flask("platform")
    app.register_error_handler(TimeoutError, seen(caught, 504))
    app.post("/work")(priced(bank, view))
    with serving(app) as platform:
        assert platform.post().status == 504
    assert bank.holds() == [("voided", PRICE, 0)]


def test_a_streamed_answer_is_paid_for_once_it_has_begun(bank: Bank) -> None:
    states: list[object] = []

    def pieces() -> Iterator[str]:
        states.extend(bank.holds())
        credits_used(12)
        yield "a"
        states.extend(bank.holds())
        yield "b"

    async def view() -> Any:
        return Response(pieces())

    with selling(priced(bank, view)) as platform:
        assert platform.post().body == b"ab"
    assert states == [("open", PRICE, 0), ("captured", PRICE, 12)]


def test_a_streamed_answer_that_fails_before_it_begins_is_not_charged(bank: Bank) -> None:
    def pieces() -> Iterator[str]:
        yield str(1 // 0)

    async def view() -> Any:
        return Response(pieces())

    app = Flask("platform")
    app.register_error_handler(ZeroDivisionError, seen([], 500))
    app.post("/work")(priced(bank, view))
    with serving(app) as platform:
        assert platform.post().status == 500
    assert bank.holds() == [("voided", PRICE, 0)]


def test_too_little_credit_is_402_and_the_view_does_not_run(bank: Bank) -> None:
    work = Work()
    with selling(priced(bank, view_of(work), amount=OPENING + 1)) as platform:
        shown = problem(platform.post())
    assert (shown["status"], shown["needed"], shown["available"]) == (402, OPENING + 1, OPENING)
    assert work.runs == 0


def test_work_whose_charge_is_not_known_is_withheld_until_it_is(bank: Bank) -> None:
    work = Work(lambda: bank.proxy.lose("capture", times=2))
    with selling(priced(bank, view_of(work))) as platform:
        first = platform.post()
        assert first.status == 503
        assert platform.post(once=problem(first)["idempotency_key"]).status == 200
    assert bank.holds() == [("captured", PRICE, PRICE)]


def test_a_copy_of_a_request_that_runs_is_refused_and_a_later_one_is_free(bank: Bank) -> None:
    refused = asyncio.Event()

    async def view() -> Any:
        for _ in range(600):
            if refused.is_set():
                break
            await asyncio.sleep(0.05)
        return {"done": True}

    app = Flask("platform")
    app.post("/work")(priced(bank, view))

    def ask(_: int) -> int:
        status = platform.post(once="k").status
        if status == 409:
            refused.set()
        return status

    with serving(app) as platform, ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(ask, range(2))) == [200, 409]
        assert platform.post(once="k").status == 200
    assert bank.holds() == [("captured", PRICE, PRICE)]


def test_it_works_under_decorators_that_await_it_and_on_methods(bank: Bank) -> None:
    def tagged(view: Callable[..., Awaitable[Response]]) -> View:
        async def tag() -> Any:
            return {"tagged": (await view()).get_json()}

        return tag

    class Views(MethodView):
        @require_credits(2, client=bank.client, account=lambda *_, **__: bank.account)
        async def post(self, name: str) -> Any:
            return {"name": name}

    app = Flask("platform")
    app.add_url_rule("/under", view_func=tagged(priced(bank, view_of(Work()))), methods=["POST"])
    app.add_url_rule("/method/<name>", view_func=Views.as_view("method"))
    with serving(app) as platform:
        assert platform.post("/under").json == {"tagged": {"done": True}}
        assert platform.post("/method/x").json == {"name": "x"}
    assert bank.balance() == OPENING - PRICE - 2


def test_the_client_of_one_event_loop_is_refused_as_each_request_has_its_own(bank: Bank) -> None:
    client = AsyncBillingClient(base_url=bank.proxy.url, api_key=API_KEY)
    caught: list[Exception] = []
    app = Flask("platform")
    app.register_error_handler(InvalidRequest, seen(caught, 500))
    app.post("/work")(priced(bank, view_of(Work()), client=client))
    with serving(app) as platform:
        assert platform.post().status == 500
    assert "give it a BillingClient" in str(caught[0])
    asyncio.run(client.close())

"""Paid work is driven to its end: without asyncio, with it, and if its caller is cancelled."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from billing_client import (
    BillingClient,
    InvalidRequest,
    NotEnoughCredit,
    StillRunning,
    Unreachable,
    credits_used,
    require_credits,
)
from billing_client.results import Hold, HoldState

PRICE = 30


class Book:
    """A client for asyncio that keeps holds in memory, and waits at a step if the test says so."""

    def __init__(self, *, wait_at: str = "", fail_at: str = "") -> None:
        self.calls: list[str] = []
        self.waits = asyncio.Event()
        """It has come to the step."""
        self.go_on = asyncio.Event()
        self._wait_at, self._fail_at = wait_at, fail_at

    async def place_hold(self, account: str, amount: int, **_: Any) -> Hold:
        return await self._do("place", HoldState.OPEN)

    async def capture_hold(self, hold_id: str, *, amount: int) -> Hold:
        return await self._do(f"capture {amount}", HoldState.CAPTURED)

    async def void_hold(self, hold_id: str) -> Hold:
        return await self._do("void", HoldState.VOIDED)

    async def _do(self, step: str, state: HoldState) -> Hold:
        name = step.split(maxsplit=1)[0]
        if name == self._wait_at:
            self.waits.set()
            await self.go_on.wait()
        if name == self._fail_at:
            raise Unreachable("no answer")
        self.calls.append(step)
        return Hold("1", "clinic:42", state, PRICE, 0, None, None, None, None, None, replayed=False)


def paid(book: Book, work: Callable[..., Awaitable[Any]], **options: Any) -> Callable[..., Any]:
    client: Any = book
    return require_credits(PRICE, client=client, account="clinic:42", **options)(work)


async def succeed() -> str:
    return "done"


def test_work_that_returns_is_charged() -> None:
    async def use() -> None:
        credits_used(12)

    async def run() -> list[str]:
        book = Book()
        assert await paid(book, succeed)() == "done"
        await paid(book, use)()
        return book.calls

    assert asyncio.run(run()) == ["place", "capture 30", "place", "capture 12"]


class AnswerOfAFramework:
    """What Starlette, Quart and others return."""

    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


@pytest.mark.parametrize(
    ("status", "end"), [(200, "capture 30"), (303, "capture 30"), (404, "void")]
)
def test_an_answer_that_says_it_failed_is_not_charged(status: int, end: str) -> None:
    async def answer() -> AnswerOfAFramework:
        return AnswerOfAFramework(status)

    async def run() -> list[str]:
        book = Book()
        assert (await paid(book, answer)()).status_code == status
        return book.calls

    assert asyncio.run(run()) == ["place", end]


def test_work_that_raises_is_not_charged_and_its_error_goes_on() -> None:
    async def fail() -> None:
        raise LookupError("x")

    async def run() -> list[str]:
        book = Book()
        with pytest.raises(LookupError, match="x"):
            await paid(book, fail)()
        return book.calls

    assert asyncio.run(run()) == ["place", "void"]


@pytest.mark.parametrize("error", [Unreachable("x"), NotEnoughCredit("clinic:42", 30, 20, 20)])
def test_what_the_work_itself_raises_of_billing_goes_on_too(error: Exception) -> None:
    async def fail() -> None:
        raise error

    async def run() -> list[str]:
        book = Book()
        with pytest.raises(type(error)):
            await paid(book, fail)()
        return book.calls

    assert asyncio.run(run()) == ["place", "void"]


async def _cancelled_at(step: str, work: Callable[..., Awaitable[Any]]) -> Book:
    """Cancel the work while billing is asked, then let that call go on."""
    book = Book(wait_at=step)
    task = asyncio.ensure_future(paid(book, work, key="w-1")())
    await book.waits.wait()
    task.cancel()
    await asyncio.sleep(0)
    book.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    return book


def test_work_cancelled_while_it_is_held_is_not_run_and_its_hold_is_voided() -> None:
    ran: list[bool] = []

    async def work() -> None:
        ran.append(True)

    async def run() -> None:
        book = await _cancelled_at("place", work)
        assert book.calls == ["place", "void"]
        assert ran == []
        # And its key is free again
        await paid(book, work, key="w-1")()

    asyncio.run(run())


def test_work_cancelled_while_it_is_charged_is_charged() -> None:
    async def run() -> list[str]:
        return (await _cancelled_at("capture", succeed)).calls

    assert asyncio.run(run()) == ["place", "capture 30"]


def test_work_that_is_cancelled_while_it_runs_is_voided() -> None:
    async def run() -> list[str]:
        book = Book()
        started = asyncio.Event()

        async def work() -> None:
            started.set()
            await asyncio.sleep(60)

        task = asyncio.ensure_future(paid(book, work)())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return book.calls

    assert asyncio.run(run()) == ["place", "void"]


def test_who_is_cancelled_again_does_not_wait_for_the_void_which_comes() -> None:
    async def run() -> list[str]:
        book = Book(wait_at="void")

        async def work() -> None:
            raise LookupError

        task = asyncio.ensure_future(paid(book, work)())
        await book.waits.wait()
        for _ in range(3):  # as anyio cancels: at each await
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert book.calls == ["place"]
        book.go_on.set()
        await asyncio.sleep(0.05)
        return book.calls

    assert asyncio.run(run()) == ["place", "void"]


def test_a_loop_that_ends_meanwhile_ends_without_complaint(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run() -> None:
        book = Book(wait_at="place")
        task = asyncio.ensure_future(paid(book, succeed, key="w-2")())
        await book.waits.wait()
        task.cancel()
        await asyncio.sleep(0)

    asyncio.run(run())
    # The key is free for the next one
    asyncio.run(_done_under("w-2"))
    assert (caplog.text, capsys.readouterr().err) == ("", "")


async def _done_under(key: str) -> None:
    assert await paid(Book(), succeed, key=key)() == "done"


def test_a_charge_that_is_not_known_withholds_the_result() -> None:
    async def run() -> None:
        with pytest.raises(Unreachable):
            await paid(Book(fail_at="capture"), succeed)()

    asyncio.run(run())


def test_two_under_one_key_at_once_are_not_one_price() -> None:
    async def run() -> None:
        book = Book()
        started = asyncio.Event()

        async def slow() -> None:
            started.set()
            await asyncio.sleep(0.05)

        first = asyncio.ensure_future(paid(book, slow, key="w-3")())
        await started.wait()
        with pytest.raises(StillRunning):
            await paid(book, slow, key="w-3")()
        await first

    asyncio.run(run())


def test_in_a_celery_task_it_needs_a_key_since_the_task_may_run_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("billing_client.credit_decorator._running_task", object)
    with pytest.raises(InvalidRequest, match=re.escape("give key=...")):
        asyncio.run(paid(Book(), succeed)())
    assert asyncio.run(paid(Book(), succeed, key="w-4")()) == "done"


def test_the_error_of_an_iterator_goes_on_unchanged_through_a_plain_view() -> None:
    from flask import Flask  # noqa: PLC0415

    stop = StopIteration("empty")

    def view() -> Any:
        raise stop

    client = BillingClient(base_url="http://127.0.0.1:9", api_key="k", retries=0)
    app = Flask("platform")
    app.testing = True
    app.get("/")(require_credits(0, client=client, account="clinic:42")(view))
    with pytest.raises(StopIteration) as caught:
        app.test_client().get("/")
    assert caught.value is stop


def test_a_client_for_asyncio_pays_for_coroutines_only() -> None:
    client: Any = Book()
    with pytest.raises(InvalidRequest, match="`async def` functions only"):
        require_credits(5, client=client, account="clinic:42")(lambda: None)


def test_an_async_generator_is_refused_as_nobody_knows_when_it_has_succeeded() -> None:
    async def pieces() -> Any:
        yield "a"

    client: Any = Book()
    with pytest.raises(InvalidRequest, match=re.escape("async generator may fail")):
        require_credits(5, client=client, account="clinic:42")(pieces)

"""Work that alternates between billing and the platform's own code, with and without asyncio.

`paid_work.py` and the runners of views write such work as generators: each yields an `Ask` (a call
of the client) or a `Run` (the platform's function) and gets its result, or its error, back. So the
rules about money stand once, for both clients.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, Union

from billing_client.client import BillingClient
from billing_client.errors import BillingError, InvalidRequest

if TYPE_CHECKING:
    from billing_client.async_client import AsyncBillingClient

T = TypeVar("T")
Client = Union[BillingClient, "AsyncBillingClient"]

_log = logging.getLogger("billing_client")
_finishing: set[asyncio.Task[None]] = set()
"""The loop itself keeps tasks only weakly."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A call to billing. Once begun it is brought to its end, whoever is cancelled."""

    call: Callable[[Any], Any]
    """Gets the client."""


@dataclass(frozen=True, slots=True)
class Run:
    """The platform's own function. What it returns may have to be awaited."""

    call: Callable[[], Any]


Steps = Generator[Ask | Run, Any, T]


def ask(call: Callable[[BillingClient], T]) -> Steps[T]:
    """Ask billing. Both clients have the same methods, so the types are those of the first."""
    result: T = yield Ask(call)
    return result


def is_async(client: object) -> bool:
    """Return whether the methods of a client must be awaited."""
    return inspect.iscoroutinefunction(getattr(client, "place_hold", None))


def drive(steps: Steps[T], client: Client) -> T:
    """Take all steps in this thread; return what they return, raise what they raise."""
    if is_async(client):
        raise InvalidRequest(
            "require_credits: an AsyncBillingClient pays for `async def` functions only"
        )
    try:
        step = next(steps)
        while True:
            try:
                result = step.call(client) if isinstance(step, Ask) else step.call()
            except BaseException as error:  # noqa: BLE001 - the steps decide
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as stop:
        value: T = stop.value
        return value
    except RuntimeError as error:
        if isinstance(error.__cause__, StopIteration):
            raise error.__cause__ from None  # the function's own, which a generator may not raise
        raise


async def drive_async(steps: Steps[T], client: Client) -> T:
    """Take all steps in this task; return what they return, raise what they raise.

    A client that is not made for asyncio is asked in a thread. If the task is cancelled while
    billing is asked, that call goes on to its end, then the steps go on without any `Run`; this
    waits for that, unless it is cancelled again.
    """
    try:
        step = next(steps)
        while True:
            if isinstance(step, Run):
                outcome = await _outcome(_called(step))
            else:
                asking = asyncio.ensure_future(_outcome(_asked(step, client)))
                try:
                    outcome = await asyncio.shield(asking)
                except asyncio.CancelledError:
                    await _see_to_the_end(_finish(steps, asking, client))
                    raise
            step = _after(steps, outcome)
    except StopIteration as stop:
        value: T = stop.value
        return value


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a step returned or raised."""

    result: Any = None
    error: BaseException | None = None


async def _outcome(step: Awaitable[Any]) -> _Outcome:
    try:
        return _Outcome(await step)
    except BaseException as error:  # noqa: BLE001 - the steps decide
        return _Outcome(error=error)


def _after(steps: Steps[Any], outcome: _Outcome) -> Ask | Run:
    """Return the next step. Raises `StopIteration` after the last, and what the steps raise."""
    if outcome.error is not None:
        return steps.throw(outcome.error)
    return steps.send(outcome.result)


async def _called(step: Run) -> Any:
    result = step.call()
    return await result if inspect.isawaitable(result) else result


async def _asked(step: Ask, client: Client) -> Any:
    if is_async(client):
        return await step.call(client)
    return await asyncio.to_thread(step.call, client)


async def _finish(steps: Steps[Any], asking: "asyncio.Future[_Outcome]", client: Client) -> None:
    """Take the other steps for a caller that was cancelled while billing was asked."""
    try:
        while True:
            step = _after(steps, await asking)
            while isinstance(step, Run):
                step = steps.throw(asyncio.CancelledError())
            asking = asyncio.ensure_future(_outcome(_asked(step, client)))
    except (StopIteration, asyncio.CancelledError):
        pass  # the end: that of the work, of a work that was not run, or of the event loop
    except BillingError as error:
        _log.warning("work was cancelled, and its credit: %s", type(error).__name__)
    finally:
        steps.close()


async def _see_to_the_end(coroutine: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(coroutine)
    _finishing.add(task)
    task.add_done_callback(_finishing.discard)
    with suppress(asyncio.CancelledError):  # once more: the task goes on alone
        await asyncio.shield(task)

"""The clients of a platform, each driven in the same way: one table of jobs tries them all.

`driver.charge_lead(...)` calls the method of that name and returns its result; a list as a list.
An async client is driven in an event loop of its own.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, Literal

from billing_client import AsyncBillingClient, BillingClient

Kind = Literal["sync", "async"]
KINDS: tuple[Kind, ...] = ("sync", "async")


class Driver:
    """One client, whatever its kind."""

    def __init__(self, client: Any, wait: Callable[[Any], Any]) -> None:
        self._client = client
        self._wait = wait

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def ask(*args: Any, **options: Any) -> Any:
            return self._wait(lambda: method(*args, **options))

        return ask


@contextmanager
def driving(kind: Kind, **options: Any) -> Iterator[Driver]:
    """Drive a client of this kind, made with these options, for the block."""
    if kind == "sync":
        with BillingClient(**options) as client:
            yield Driver(client, _now)
        return
    with asyncio.Runner() as runner:
        client_of_loop = AsyncBillingClient(**options)
        try:
            # In the context of the call: a runner has that of its own beginning.
            yield Driver(
                client_of_loop, lambda begin: runner.run(_later(begin), context=copy_context())
            )
        finally:
            runner.run(client_of_loop.close())


def methods() -> set[str]:
    """The jobs that a client has, by the names of its methods."""
    found = inspect.getmembers(BillingClient, inspect.isfunction)
    return {name for name, _ in found if not name.startswith("_")} - {"close"}


def _now(begin: Callable[[], Any]) -> Any:
    result = begin()
    return list(result) if isinstance(result, Iterator) else result


async def _later(begin: Callable[[], Any]) -> Any:
    result = begin()
    if isinstance(result, AsyncIterator):
        return [one async for one in result]
    return await result

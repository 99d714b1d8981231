"""Runs a coroutine function under `require_credits` outside of Flask: under asyncio alone.

The framework around it is unknown, so its success is what Python says: it returned. An exception,
a cancellation, or an answer object that says it failed voids the hold.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from billing_client.paid_work import PaidWork, plain_key
from billing_client.steps import Run, Steps, drive_async
from billing_client.terms import Requirement


async def run(
    function: Callable[..., Any],
    requirement: Requirement,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Return what the function returns, charged for.

    Raises what it raises, and as `PaidWork.begin` and `PaidWork.settle`. Without a key of the
    platform's own each call is work of its own: nothing else says what a repeat is.
    """
    terms = requirement.terms_of(args, kwargs)
    own_key = requirement.own_key_of(args, kwargs)
    if own_key is not None:
        key = plain_key("own", own_key, terms.account)
        work = PaidWork(terms, key, alone_for_seconds=requirement.alone_for_seconds)
    else:
        work = PaidWork(terms, f"call:{uuid4()}")
    called = Run(lambda: function(*args, **kwargs))
    return await drive_async(_paid_result(work, called), work.client)


def _paid_result(work: PaidWork, called: Run) -> Steps[Any]:
    try:
        yield from work.begin()
        try:
            with work.current():
                result = yield called
        except GeneratorExit:
            raise
        except BaseException:
            yield from work.release()
            raise
        if _says_it_failed(result):
            yield from work.release()
        else:
            yield from work.settle()
        return result
    finally:
        work.leave()


def _says_it_failed(result: object) -> bool:
    """Return whether it is an answer with a status of 400 or more, as of Starlette or Quart."""
    status = getattr(result, "status_code", None)
    return isinstance(status, int) and status >= 400

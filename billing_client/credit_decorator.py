"""`require_credits`: a Flask view, a Celery task or a coroutine that is paid for with credit.

Each call finds out whether it runs in a request or in a task, and imports only that runner.
"""

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from billing_client import async_credits
from billing_client.errors import InvalidRequest
from billing_client.steps import Client, is_async
from billing_client.terms import Requirement

HOLD_SECONDS = 900
ALONE_SECONDS = 60
"""Longer than nearly any view takes; the API keeps its own requests apart for as long."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


def require_credits(
    amount: int | Callable[..., int],
    *,
    client: Client | Callable[[], Client],
    account: str | Callable[..., str],
    key: str | Callable[..., str] | None = None,
    expires_in_seconds: int = HOLD_SECONDS,
    description: str | None = None,
    alone_for_seconds: int | None = ALONE_SECONDS,
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Decorate a Flask view or a Celery task: hold credit before it, capture it on success.

    `amount` (whole credits, 0: free) and `account` may be callables, which get the arguments of
    the view or the task (without `self` of a bound task); `client` may be a callable without
    arguments. Inside, `credits_used` reports the actual use if it is less. A failure voids the
    hold: in Flask an exception or a status of 400 or more, in Celery the final failure, so one
    hold lasts through all retries. A hold that is never ended expires after `expires_in_seconds`.

    Work with the same key is charged once. The key consists of the request and its
    `Idempotency-Key` in Flask, of the task's id in Celery, or of `key` and the account.

    In Flask a copy of a request is refused with 409 while the first one runs in this process, and
    for `alone_for_seconds` if it runs in another; with None copies run too, for one charge. The
    answer is 402 if the credit is short, 404 if the account is unknown, and 503 if the API does not
    answer. A task raises `NotEnoughCredit`, `AccountUnknown` or `Unreachable`. Outside of both, or
    with wrong arguments, `InvalidRequest` is raised.

    An `async def` function stays one. In Flask it is a view like any other. Outside of Flask it
    runs under asyncio alone: it is charged if it returns, unless what it returns has a
    `status_code` of 400 or more, and free if it raises or is cancelled; errors are raised as in a
    task. Without `key` each call is then work of its own. `client` may be an `AsyncBillingClient`
    there; a `BillingClient` is asked in a thread.
    """
    requirement = Requirement(
        amount, client, account, key, expires_in_seconds, description, alone_for_seconds
    )
    # A wrong argument would fail at every call: fail when the platform starts instead.
    requirement.check()

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        _refuse_task(function)
        if inspect.isasyncgenfunction(function):
            raise InvalidRequest(
                "require_credits: an async generator may fail after each piece: decorate the"
                " coroutine function that returns it"
            )
        if not inspect.iscoroutinefunction(function) and is_async(client):
            raise InvalidRequest(
                "client: an AsyncBillingClient pays for `async def` functions only"
            )
        wrapped = _paid_coroutine if inspect.iscoroutinefunction(function) else _paid
        paid = cast(Callable[_P, _R], wrapped(function, requirement))
        # Celery checks the arguments of a call by the signature, and does not follow
        # `__wrapped__` to find it.
        cast(Any, paid).__signature__ = inspect.signature(function)
        return paid

    return decorate


def _paid(function: Callable[_P, Any], requirement: Requirement) -> Callable[_P, Any]:
    @functools.wraps(function)
    def paid(*args: _P.args, **kwargs: _P.kwargs) -> Any:
        task = _running_task()
        if task is not None:
            from billing_client import celery_credits  # noqa: PLC0415 - an extra

            return celery_credits.run(function, requirement, task, args, kwargs)
        if _is_in_request():
            from billing_client import flask_credits  # noqa: PLC0415 - an extra

            return flask_credits.run(function, requirement, args, kwargs)
        raise InvalidRequest(
            "require_credits: this runs neither in a Flask request nor in a task of a Celery"
            " worker, so its success is unknown: use place_hold and capture_hold instead"
        )

    return paid


def _paid_coroutine(function: Callable[_P, Any], requirement: Requirement) -> Callable[_P, Any]:
    # A coroutine function again: whoever asks `inspect` must await what it returns.
    @functools.wraps(function)
    async def paid(*args: _P.args, **kwargs: _P.kwargs) -> Any:
        if _is_in_request():
            from billing_client import flask_credits  # noqa: PLC0415 - an extra

            return await flask_credits.run_async(function, requirement, args, kwargs)
        if _running_task() is not None and requirement.key is None:
            raise InvalidRequest(
                "require_credits: a task that runs again would be charged again: decorate the"
                " task instead, or give key=..."
            )
        return await async_credits.run(function, requirement, args, kwargs)

    return paid


def _refuse_task(function: object) -> None:
    # By the type: reading an attribute of Celery's proxy would create the task at once.
    makers = {base.__module__ for base in type(function).__mro__}
    if makers & {"celery.app.task", "celery.local"}:
        raise InvalidRequest(
            "require_credits: put it under @app.task: above it, the worker runs the task without it"
        )


def _running_task() -> Any:
    celery_state = sys.modules.get("celery._state")
    return celery_state.get_current_worker_task() if celery_state is not None else None


def _is_in_request() -> bool:
    flask = sys.modules.get("flask")
    return flask is not None and bool(flask.has_request_context())

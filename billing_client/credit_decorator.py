"""`require_credits`: a Flask view or a Celery task that is paid for with credit.

Finds out at each call where it runs, and imports of Flask and Celery nothing before that.
"""

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast

from billing_client.client import BillingClient
from billing_client.credit_calls import checked_amount
from billing_client.errors import InvalidRequest
from billing_client.holding import Terms
from billing_client.leads import checked_account

HOLD_SECONDS = 900

_P = ParamSpec("_P")
_R = TypeVar("_R")


def require_credits(
    amount: int | Callable[..., int],
    *,
    client: BillingClient | Callable[[], BillingClient],
    account: str | Callable[..., str],
    key: str | Callable[..., str] | None = None,
    expires_in_seconds: int = HOLD_SECONDS,
    description: str | None = None,
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Decorate a Flask view or a Celery task: hold credit before it, capture it on success.

    `amount` (whole credits, 0: free) and `account` may be callables, which get the arguments of
    the view or the task (without `self` of a bound task); `client` may be one without arguments.
    `credits_used` inside tells an actual use that is less. A failure voids the hold: in Flask an
    exception or an answer from 400 on, in Celery the final failure, so that one hold lasts through
    all retries. A hold that nobody ends frees itself after `expires_in_seconds`.

    Work with the same key is charged once. In Flask it is made of the request and its
    `Idempotency-Key`, in Celery of the task's id; with `key`, of that alone, for each account.

    In Flask a view whose credit is short is answered 402, one whose credit cannot be asked for
    503. In a task `NotEnoughCredit` and `Unreachable` are raised. Elsewhere `InvalidRequest` is,
    as for arguments that make no sense.
    """
    checked_amount("expires_in_seconds", expires_in_seconds)
    # What is no callable is wrong at every call: whoever starts the platform is to see it.
    if not callable(amount):
        _checked_price(amount)
    if not callable(account):
        checked_account(account)
    if key is not None and not callable(key):
        _checked_own_key(key)
    wanted = Wanted(amount, client, account, key, expires_in_seconds, description)

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        _refuse_task(function)

        @functools.wraps(function)
        def paid(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            task = _running_task()
            if task is not None:
                from billing_client import celery_credits  # noqa: PLC0415 - not needed elsewhere

                return celery_credits.run(function, wanted, task, args, kwargs)
            if _is_in_request():
                from billing_client import flask_credits  # noqa: PLC0415 - not needed elsewhere

                return flask_credits.run(function, wanted, args, kwargs)
            raise InvalidRequest(
                "require_credits: this runs neither in a request of Flask nor in a task of a Celery"
                " worker, so nobody knows when it has succeeded: use place_hold and capture_hold"
            )

        # Celery checks the arguments of a call by the signature, and does not look at what is
        # wrapped for it.
        cast(Any, paid).__signature__ = inspect.signature(function)
        return paid

    return decorate


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the decorator was given."""

    amount: int | Callable[..., int]
    client: BillingClient | Callable[[], BillingClient]
    account: str | Callable[..., str]
    key: str | Callable[..., str] | None
    expires_in_seconds: int
    description: str | None

    def terms(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Terms:
        """Return what is held for a call. Raises `InvalidRequest`."""
        amount = self.amount(*args, **kwargs) if callable(self.amount) else self.amount
        account = self.account(*args, **kwargs) if callable(self.account) else self.account
        return Terms(
            client=self.client() if callable(self.client) else self.client,
            account=checked_account(account),
            amount=_checked_price(amount),
            expires_in_seconds=self.expires_in_seconds,
            description=self.description,
        )

    def own_key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """Return the platform's own key for a call, or None. Raises `InvalidRequest`."""
        if self.key is None:
            return None
        return _checked_own_key(self.key(*args, **kwargs) if callable(self.key) else self.key)


def name_of(function: Callable[..., Any]) -> str:
    """Return what tells a decorated function from others that run in the same request or task."""
    return f"{function.__module__}.{function.__qualname__}"


def _checked_price(amount: object) -> int:
    return 0 if type(amount) is int and amount == 0 else checked_amount("amount", amount)


def _checked_own_key(key: object) -> str:
    if not isinstance(key, str) or not key:
        raise InvalidRequest("key: must be a text that is not empty")
    return key


def _refuse_task(function: object) -> None:
    # By the type, not by attributes: those of Celery's proxies would make the task at once.
    makers = {base.__module__ for base in type(function).__mro__}
    if makers & {"celery.app.task", "celery.local"}:
        raise InvalidRequest(
            "require_credits: goes under @app.task: above it, the worker would run the task"
            " without it"
        )


def _running_task() -> Any:
    celery_state = sys.modules.get("celery._state")
    return celery_state.get_current_worker_task() if celery_state is not None else None


def _is_in_request() -> bool:
    flask = sys.modules.get("flask")
    return flask is not None and bool(flask.has_request_context())

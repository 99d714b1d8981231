"""The arguments of `require_credits`, and the terms of one call that follow from them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from billing_client.checks import checked_account, checked_amount
from billing_client.errors import InvalidRequest
from billing_client.steps import Client


@dataclass(frozen=True, slots=True)
class Terms:
    """What is held for one call, and from which account."""

    client: Client
    account: str
    amount: int
    """In credits; 0: the work is free and no request is sent."""
    expires_in_seconds: int
    description: str | None


@dataclass(frozen=True, slots=True)
class Requirement:
    """The arguments of `require_credits`; callables get the arguments of each call."""

    amount: int | Callable[..., int]
    client: Client | Callable[[], Client]
    account: str | Callable[..., str]
    key: str | Callable[..., str] | None
    expires_in_seconds: int
    description: str | None
    alone_for_seconds: int | None
    """For a view: how long a run of another process keeps copies out; None: copies run."""

    def check(self) -> None:
        """Check what does not depend on a call. Raises `InvalidRequest`."""
        checked_amount("expires_in_seconds", self.expires_in_seconds)
        if self.alone_for_seconds is not None:
            checked_amount("alone_for_seconds", self.alone_for_seconds)
        if not callable(self.amount):
            _checked_price(self.amount)
        if not callable(self.account):
            checked_account(self.account)
        if self.key is not None and not callable(self.key):
            _checked_own_key(self.key)

    def terms_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Terms:
        """Return the terms of a call. Raises `InvalidRequest`."""
        amount = self.amount(*args, **kwargs) if callable(self.amount) else self.amount
        account = self.account(*args, **kwargs) if callable(self.account) else self.account
        return Terms(
            client=self.client() if callable(self.client) else self.client,
            account=checked_account(account),
            amount=_checked_price(amount),
            expires_in_seconds=self.expires_in_seconds,
            description=self.description,
        )

    def own_key_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """Return the platform's own key for a call, or None. Raises `InvalidRequest`."""
        if self.key is None:
            return None
        return _checked_own_key(self.key(*args, **kwargs) if callable(self.key) else self.key)


def qualified_name(function: Callable[..., Any]) -> str:
    """Return a name that is unique among the functions of one request or task."""
    return f"{function.__module__}.{function.__qualname__}"


def _checked_price(amount: object) -> int:
    return 0 if type(amount) is int and amount == 0 else checked_amount("amount", amount)


def _checked_own_key(key: object) -> str:
    if not isinstance(key, str) or not key:
        raise InvalidRequest("key: must be text that is not empty")
    return key

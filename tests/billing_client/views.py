"""Views that are paid for, as the tests of `require_credits` in Flask need them."""

import threading
from collections.abc import Callable
from typing import Any

from billing_client import require_credits
from tests.billing_client.bank import Bank

PRICE = 30


def priced(bank: Bank, view: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """A view for PRICE credits of the test's account."""
    chosen = {"client": bank.client, "account": bank.account, **options}
    return require_credits(chosen.pop("amount", PRICE), **chosen)(view)


class Work:
    """A view that counts how often it ran, and first does what the test says."""

    def __init__(self, *steps: Callable[[], Any]) -> None:
        self.runs = 0
        self._steps = list(steps)
        self._lock = threading.Lock()

    def __call__(self) -> Any:
        with self._lock:
            self.runs += 1
            step = self._steps.pop(0) if self._steps else None
        answer = step() if step else None
        return {"done": True} if answer is None else answer


def view_of(work: Work) -> Callable[[], Any]:
    def view() -> Any:
        return work()

    return view


def seen(caught: list[Exception], status: int) -> Callable[[Exception], Any]:
    """An error handler that keeps what it sees."""

    def handle(error: Exception) -> Any:
        caught.append(error)
        return {"sorry": True}, status

    return handle

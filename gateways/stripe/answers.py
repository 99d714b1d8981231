"""What Stripe's answers say: refusals, lists, and how our errors come through its SDK.

Used by `client.py` and `refunds.py`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import stripe

from errors import BillingError
from gateways import transport
from gateways.entity import one_line, unreadable_is_unknown
from gateways.errors import (
    GatewayKeyRefused,
    GatewayNotFound,
    GatewayRefused,
    GatewayUnavailable,
    OutcomeUnknown,
)

PAGE = 100
"""The most that Stripe lists at once."""


class Session(transport.Session):
    """HTTP to Stripe."""

    gateway = "stripe"
    key_variables = "STRIPE_API_KEY"

    def refusal(self, status: int, error: Mapping[str, object]) -> BillingError:
        """Return what `{type, code, message, param}` says."""
        code = one_line(error.get("code"))
        if status == 403:  # a restricted key without the right to do this
            return GatewayKeyRefused(self.gateway, self.key_variables)
        if code == "rate_limit":
            return GatewayUnavailable(self.gateway, "too many requests")
        reason = one_line(error.get("message")) or f"status {status}"
        missing = status == 404 or code == "resource_missing"
        kind = GatewayNotFound if missing else GatewayRefused
        field = one_line(error.get("param")) or None
        return kind(self.gateway, reason, status=status, field=field)


@contextmanager
def sdk_errors_translated() -> Iterator[None]:
    """Raise one of our errors for whatever goes wrong inside."""
    try:
        with unreadable_is_unknown("stripe"):
            yield
    except stripe.StripeError as error:
        # The SDK makes a connection error of whatever its session raises. It is not chained: the
        # SDK's messages may hold whole bodies, and those the payer's name.
        if isinstance(error.__cause__, BillingError):
            raise error.__cause__ from None
        raise OutcomeUnknown("stripe", type(error).__name__) from None


def as_dict(answer: object) -> dict[str, Any]:
    """Return an object of the SDK as a dict; raises `OutcomeUnknown` if it is none."""
    if not isinstance(answer, stripe.StripeObject):
        raise OutcomeUnknown("stripe", "the answer is not an object")
    return answer.to_dict()


def pages(
    ask: Callable[[dict[str, object]], object], asked: Mapping[str, object], *, most: int, what: str
) -> Iterator[dict[str, Any]]:
    """Return the items of a list, newest first, asking for a hundred at a time.

    Raises `OutcomeUnknown` if there are more than `most`.
    """
    query = {**asked, "limit": PAGE}
    for _ in range(most // PAGE):
        page = as_dict(ask(query))
        items = page.get("data")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise OutcomeUnknown("stripe", "the list has no items")
        yield from items
        if not items or not page.get("has_more"):
            return
        query["starting_after"] = items[-1].get("id")
    raise OutcomeUnknown("stripe", f"over {most} {what} to look through")

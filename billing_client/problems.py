"""What a platform answers its own customer about an error of billing: problem JSON (RFC 9457).

One table for `flask_credits.py` (a view that is paid for), `flask_errors.py` (every other error in
Flask) and for platforms on other frameworks, which send `Problem.body` themselves.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from billing_client.errors import (
    AccountUnknown,
    BillingError,
    IdempotencyConflict,
    LeadStillPending,
    NotEnoughCredit,
    Refused,
    StillRunning,
    TooManyHolds,
    Unreachable,
)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5

_OWN_TYPES = "urn:problem-type:billing:"
_PASSED_ON = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.GONE)
"""What the API says with these is about the customer's own things. All else is the platform's."""

_log = logging.getLogger("billing_client")


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer for a customer. It holds nothing that only the platform may know."""

    status: int
    kind: str
    """The last part of its `type`, as the API names it."""
    detail: str
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further members: figures, `request_id`."""
    repeat: bool = False
    """The same request may go through later."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer."""
        headers = {"Content-Type": MEDIA_TYPE}
        if self.repeat:
            headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        if "request_id" in self.more:
            headers["X-Request-Id"] = self.more["request_id"]
        return headers

    @property
    def body(self) -> bytes:
        """The body of the answer, JSON."""
        content = {
            "type": f"{_OWN_TYPES}{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }
        return json.dumps(content).encode()


def problem_of(error: BillingError, *, idempotency_key: str | None = None) -> Problem:
    """Return what a customer may know of an error, and log what only the platform may know.

    402 with figures if credit is short, 404 and 409 as the API has refused, 503 if it did not
    answer. What the customer cannot mend (a wrong key or argument, an answer that cannot be read)
    is a 500 that says nothing of it: the log of `billing_client` does. `idempotency_key` is what a
    paid request is repeated with after a 503.
    """
    problem = _of(error)
    more = dict(problem.more)
    if idempotency_key is not None and isinstance(error, Unreachable):
        more["idempotency_key"] = idempotency_key
    if error.request_id:
        more["request_id"] = error.request_id
    return replace(problem, more=more)


def _of(error: BillingError) -> Problem:
    if isinstance(error, NotEnoughCredit):
        figures = {name: getattr(error, name) for name in ("needed", "balance", "available")}
        return Problem(402, "not-enough-credit", error.detail, figures)
    for kind in type(error).__mro__:
        if kind in _TABLE:
            if isinstance(error, Unreachable):
                _log.warning("billing does not answer: %s", _named(error))
            if isinstance(error, AccountUnknown):
                # The platform's affair: the customer cannot do anything about it.
                _log.error("account %r is unknown, or out of the key's reach", error.account)
            return _TABLE[kind]
    if isinstance(error, Refused) and error.status in _PASSED_ON and _is_of_the_rules(error):
        # The words of the API for these are for the one who asked.
        return Problem(error.status, error.kind or "refused", error.detail)
    # With the traceback: it shows which call of the platform has to be mended.
    _log.error("billing refused this platform: %s", _named(error), exc_info=error)
    return Problem(500, "internal-error", "this request failed: the reason is in the server's log")


_TABLE: Mapping[type, Problem] = {
    Unreachable: Problem(
        503,
        "credit-unavailable",
        "billing does not answer now: repeat the request later, with its Idempotency-Key if it has"
        " one; it is charged once",
        repeat=True,
    ),
    LeadStillPending: Problem(
        503, "lead-pending", "the lead is not charged yet: repeat the request later", repeat=True
    ),
    AccountUnknown: Problem(
        404, "unknown-account", "the account that this request would be paid from is unknown"
    ),
    StillRunning: Problem(
        409,
        "request-in-progress",
        "a request with this Idempotency-Key is still in progress: repeat it later",
        repeat=True,
    ),
    IdempotencyConflict: Problem(
        409,
        "idempotency-conflict",
        "this Idempotency-Key was used for another request, or at another price: send a new one",
    ),
    TooManyHolds: Problem(
        409, "too-many-attempts", "this Idempotency-Key has failed too often: send a new one"
    ),
}


def _is_of_the_rules(error: Refused) -> bool:
    """Return whether a rule refused, and not a server that does not know the path."""
    return type(error) is not Refused or str(error.problem.get("type")).startswith(_OWN_TYPES)


def _named(error: BillingError) -> str:
    shown = f"{type(error).__name__}: {error}"
    return f"{shown} (request {error.request_id})" if error.request_id else shown

"""The errors of the client. Messages name fields and ids, never a secret.

Each error keeps its constructor's arguments in `args`, so that a result backend restores it whole.
"""

from collections.abc import Mapping
from typing import Any


class BillingError(Exception):
    """Base of every error that this package raises on purpose."""


class InvalidRequest(BillingError):
    """An argument is wrong; nothing was sent."""


class Unreachable(BillingError):
    """There was no answer after all retries. The operation may or may not have been done.

    It is safe to call again with `idempotency_key`. A lead may also be sent again without the key:
    it is charged once.
    """

    def __init__(self, message: str, *, idempotency_key: str | None = None) -> None:
        super().__init__(message)
        self.idempotency_key = idempotency_key


class Refused(BillingError):
    """The server refused the request, and would refuse the same request again."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.problem: Mapping[str, Any] = {}
        """The problem (RFC 9457) of the answer; empty if it was none."""

    def __str__(self) -> str:
        return f"refused with status {self.status}: {self.detail}"

    @property
    def kind(self) -> str:
        """The last part of the problem's type, such as `not-enough-credit`; else empty."""
        return str(self.problem.get("type", "")).rpartition(":")[2]


class Unauthorized(Refused):
    """The webhook secret or the API key is wrong, or the key lacks the scope."""


class LeadUnknown(Refused):
    """No lead with this id is known: it was not sent, or is still on its way."""

    def __init__(self, lead_id: str, detail: str) -> None:
        super().__init__(404, detail)
        self.args = (lead_id, detail)
        self.lead_id = lead_id


class AccountUnknown(Refused):
    """The account does not exist, or is out of this API key's reach."""

    def __init__(self, account: str, detail: str) -> None:
        super().__init__(404, detail)
        self.args = (account, detail)
        self.account = account


class HoldUnknown(Refused):
    """The hold does not exist, or is out of this API key's reach."""

    def __init__(self, hold_id: str, detail: str) -> None:
        super().__init__(404, detail)
        self.args = (hold_id, detail)
        self.hold_id = hold_id


class HoldFinished(Refused):
    """The hold has already ended; `state` is captured, voided or expired."""

    def __init__(self, hold_id: str, state: str, detail: str) -> None:
        super().__init__(409, detail)
        self.args = (hold_id, state, detail)
        self.hold_id = hold_id
        self.state = state


class IdempotencyConflict(Refused):
    """The idempotency key was used for another request."""

    def __init__(self, detail: str) -> None:
        super().__init__(409, detail)
        self.args = (detail,)


class NotEnoughCredit(Refused):
    """The account has less credit available than needed; nothing was held or charged."""

    def __init__(self, account: str, needed: int, balance: int, available: int) -> None:
        super().__init__(
            402, f"{needed} credits are needed, {available} are available of {balance}"
        )
        self.args = (account, needed, balance, available)
        self.account = account
        self.needed = needed
        self.balance = balance
        self.available = available


class TooManyHolds(BillingError):
    """Too many holds under one key have ended without a capture: use a new key."""


class StillRunning(BillingError):
    """Other work under this key runs now, and would be free if this one ran too."""

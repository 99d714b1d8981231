"""What can go wrong, as types to catch. Messages name fields and ids, never a secret.

Each keeps what it was made with in `args`, so that it comes whole out of a result backend.
"""

from collections.abc import Mapping
from typing import Any


class BillingError(Exception):
    """Base of every error that this package raises on purpose."""


class InvalidRequest(BillingError):
    """The arguments make no sense; nothing was sent."""


class Unreachable(BillingError):
    """Nobody answered, after all retries. What was asked for may have been done or not.

    Calling again with `idempotency_key` is safe. So is calling again without, for a lead: it is
    charged once, whatever is sent.
    """

    def __init__(self, message: str, *, idempotency_key: str | None = None) -> None:
        super().__init__(message)
        self.idempotency_key = idempotency_key


class Refused(BillingError):
    """The server answered that the request cannot be taken; the same one never can."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.problem: Mapping[str, Any] = {}
        """The whole problem (RFC 9457), where the answer was one."""

    def __str__(self) -> str:
        return f"refused with status {self.status}: {self.detail}"

    @property
    def kind(self) -> str:
        """The last part of the problem's type, such as `not-enough-credit`, or nothing."""
        return str(self.problem.get("type", "")).rpartition(":")[2]


class Unauthorized(Refused):
    """The webhook secret or the API key is wrong, or may not do this."""


class LeadUnknown(Refused):
    """No lead of this id has an outcome: it was never sent, or is still on its way."""

    def __init__(self, lead_id: str, detail: str) -> None:
        super().__init__(404, detail)
        self.args = (lead_id, detail)
        self.lead_id = lead_id


class AccountUnknown(Refused):
    """There is no such account, or this API key does not reach it."""

    def __init__(self, account: str, detail: str) -> None:
        super().__init__(404, detail)
        self.args = (account, detail)
        self.account = account


class HoldUnknown(Refused):
    """There is no such hold, or this API key does not reach its account."""

    def __init__(self, hold_id: str, detail: str) -> None:
        super().__init__(404, detail)
        self.args = (hold_id, detail)
        self.hold_id = hold_id


class HoldFinished(Refused):
    """The hold has ended already, and how: captured, voided or expired."""

    def __init__(self, hold_id: str, state: str, detail: str) -> None:
        super().__init__(409, detail)
        self.args = (hold_id, state, detail)
        self.hold_id = hold_id
        self.state = state


class IdempotencyConflict(Refused):
    """The key was used before, for another request."""

    def __init__(self, detail: str) -> None:
        super().__init__(409, detail)
        self.args = (detail,)


class NotEnoughCredit(Refused):
    """The account has less available than is needed; nothing was held or charged."""

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
    """Under one key hold after hold has ended without a capture: use a new key."""

"""The errors of the client. Messages name fields and ids, never a secret.

Each error keeps its constructor's arguments in `args`, so that a result backend restores it whole.
`refusals.py` says which problem type of the server becomes which class. The file is long because it
is the list of errors.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from billing_client.results import HoldState, LeadStatus

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class BillingError(Exception):
    """Base of every error that this package raises on purpose."""

    request_id: str | None = None
    """The `X-Request-Id` of the answer, for questions to the operators; None if there was none."""
    problem: Mapping[str, Any] = _NOTHING
    """The problem (RFC 9457) of the answer; empty if it was none."""

    @property
    def kind(self) -> str:
        """The last part of the problem's type, such as `not-enough-credit`; else empty."""
        return kind_of(self.problem)


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


class GatewayUnavailable(Unreachable):
    """The payment gateway does not answer the back office now."""


class OutcomeUnknown(Unreachable):
    """The payment gateway gave no clear answer: a repeat with the same key finds out."""


class RequestInProgress(Unreachable):
    """A request under this idempotency key is still being worked on."""


class TooManyRequests(Unreachable):
    """The API key has too many requests in progress."""


class LeadStillPending(BillingError):
    """`wait_for_lead` has waited as long as it may; `status` is the last one that was seen."""

    def __init__(self, lead_id: str, timeout_seconds: float) -> None:
        super().__init__(lead_id, timeout_seconds)
        self.lead_id = lead_id
        self.timeout_seconds = timeout_seconds
        self.status: LeadStatus | None = None
        """None: its event has not arrived yet, or was never sent."""

    def __str__(self) -> str:
        if self.status is None:
            return f"the lead is still unknown after {self.timeout_seconds} seconds"
        because = f" ({self.status.reason})" if self.status.reason else ""
        return f"the lead is still pending after {self.timeout_seconds} seconds{because}"


class ProductMismatch(BillingError):
    """The account exists with another product than `ensure_account` wants."""

    def __init__(self, account: str, found: str, wanted: str) -> None:
        super().__init__(account, found, wanted)
        self.account = account
        self.found = found
        self.wanted = wanted

    def __str__(self) -> str:
        return f"the account exists with the product {self.found}, not {self.wanted}"


class Refused(BillingError):
    """The server refused the request, and would refuse the same request again."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.problem = {}

    def __str__(self) -> str:
        return f"refused with status {self.status}: {self.detail}"


class UnexpectedAnswer(Refused):
    """The answer is not what this call returns: `api_url` may lead somewhere else.

    The operation may or may not have been done: a repeat with `idempotency_key` is safe.
    """

    idempotency_key: str | None = None
    """The key of the call; None if it has none."""


class InvalidFields(Refused):
    """The server finds fields of the request wrong."""

    @property
    def fields(self) -> dict[str, str]:
        """What is wrong with each field, by its name."""
        found: dict[str, str] = {}
        errors = self.problem.get("errors")
        for error in errors if isinstance(errors, list) else ():
            if isinstance(error, dict):
                found[str(error.get("field"))] = str(error.get("detail"))
        return found


class Unauthorized(Refused):
    """The webhook secret or the API key is wrong, or the key lacks the scope."""


class MissingScope(Unauthorized):
    """The API key lacks the scope that `detail` names."""


class OutOfReach(Unauthorized):
    """The API key may do this for other products or accounts only."""


class _About(Refused):
    """A refusal about one thing, whose id is the constructor's first argument."""

    _STATUS: ClassVar[int] = 404
    _NAME: ClassVar[str]

    def __init__(self, subject: str | int, detail: str) -> None:
        super().__init__(self._STATUS, detail)
        self.args = (subject, detail)
        setattr(self, self._NAME, subject)


class LeadUnknown(_About):
    """No lead with this id is known: it was not sent, or is still on its way."""

    _NAME = "lead_id"
    lead_id: str


class AccountUnknown(_About):
    """The account does not exist, or is out of this API key's reach."""

    _NAME = "account"
    account: str


class AccountExists(_About):
    """An account with this reference already exists, perhaps out of this API key's reach."""

    _STATUS = 409
    _NAME = "account"
    account: str


class OrderUnknown(_About):
    """The order does not exist, or is out of this API key's reach."""

    _NAME = "order_id"
    order_id: str


class PaymentUnknown(_About):
    """The payment does not exist, or is out of this API key's reach."""

    _NAME = "payment_id"
    payment_id: str


class RefundUnknown(_About):
    """The refund does not exist, or is out of this API key's reach."""

    _NAME = "refund_id"
    refund_id: str


class DisputeUnknown(_About):
    """The dispute does not exist, or is out of this API key's reach."""

    _NAME = "dispute_id"
    dispute_id: int


class HoldUnknown(_About):
    """The hold does not exist, or is out of this API key's reach."""

    _NAME = "hold_id"
    hold_id: str


class ContactUnknown(_About):
    """The account has no contact with this id, or not any more."""

    _NAME = "contact_id"
    contact_id: int


class ContactExists(Refused):
    """The account already has a contact with this address: remove that one to change its topics."""

    @property
    def contact_id(self) -> int | None:
        """The contact that has the address."""
        found = self.problem.get("contact_id")
        return found if type(found) is int else None


class TooManyContacts(Refused):
    """The account has too many contacts, or was given too many of late; `detail` says which."""


class HoldFinished(Refused):
    """The hold has already ended; `state` is captured, voided or expired."""

    def __init__(self, hold_id: str, state: str, detail: str) -> None:
        super().__init__(409, detail)
        self.args = (hold_id, state, detail)
        self.hold_id = hold_id
        self.state = HoldState(state)


class IdempotencyConflict(Refused):
    """The idempotency key was used for another request."""

    def __init__(self, detail: str) -> None:
        super().__init__(409, detail)
        self.args = (detail,)


class AnswerNotKept(Refused):
    """A request under this key was done so long ago that its answer is gone; nothing was done."""


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


class NotRefundable(Refused):
    """Less is left of the payment than is to be refunded, or it is charged back."""


class OrderAtOdds(Refused):
    """The payment does not match the order that it is said to pay."""


class AmbiguousPayment(Refused):
    """More than one payment could be meant."""


class PlanRefused(Refused):
    """The account cannot have this plan; `detail` says why."""


class DisputeRefused(Refused):
    """The lead cannot be disputed, or the dispute not be withdrawn; the subclasses say why."""


class DisputeOpen(DisputeRefused):
    """A dispute of this lead is already open."""


class DisputedBefore(DisputeRefused):
    """The lead was disputed before, and that dispute was decided."""


class DisputeWindowOver(DisputeRefused):
    """The time in which this lead could be disputed is over."""


class DisputeResolved(DisputeRefused):
    """The dispute is already decided or withdrawn."""


class LeadNotCharged(DisputeRefused):
    """The lead was not charged, so there is nothing to dispute."""


class EventsNotKept(Refused):
    """What followed this position is too old to be read: read anew what you keep, then begin."""


class TooManyHolds(BillingError):
    """Too many holds under one key have ended without a capture: use a new key."""


class StillRunning(BillingError):
    """Other work under this key runs now, and would be free if this one ran too."""


class NoticeRefused(BillingError):
    """What arrived is no notice of the back office that can be trusted now: do not act on it."""


class NoticeNotSigned(NoticeRefused):
    """A header of the signature is missing or malformed: whoever sends this is no back office."""


class NoticeTimestampOff(NoticeRefused):
    """The notice is too old or too new: it is sent again by a stranger, or a clock is wrong."""

    def __init__(self, message: str, *, off_seconds: int = 0) -> None:
        super().__init__(message)
        self.off_seconds = off_seconds
        """How far its timestamp lies behind this computer's clock; negative: before it."""


class NoticeForged(NoticeRefused):
    """No listed signature fits the body and a secret.

    The secret is that of another endpoint, or the body is not the bytes that were received.
    """


class NoticeUnreadable(NoticeRefused):
    """The signature fits, and the body is no notice that this version can read."""


def kind_of(problem: Mapping[str, Any]) -> str:
    """Return the last part of a problem's type; empty if it has none of the server's own."""
    kind = str(problem.get("type", ""))
    return "" if kind == "about:blank" else kind.rpartition(":")[2]

"""What a rule refuses, typed: each error carries its ids and says what to do about it."""

from collections.abc import Mapping

from db.errors import PermanentError, TransientError


class InvalidPosting(PermanentError):
    """A posting that no ledger could take, whatever its state: a mistake of the caller."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field


class UnknownAccount(PermanentError):
    """No account has this reference."""

    def __init__(self, account: str) -> None:
        super().__init__(f"unknown account {account!r}: create it with `billing accounts create`")
        self.account = account


class AccountExists(PermanentError):
    """The reference is taken."""

    def __init__(self, account: str) -> None:
        super().__init__(f"account {account!r} exists already: `billing accounts show {account}`")
        self.account = account


class InvalidAccount(PermanentError):
    """A field of a new account does not make sense."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field
        self.problem = problem


class InvalidApiKey(PermanentError):
    """A field of a new key for the API does not make sense."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field


class ApiKeyExists(PermanentError):
    """The name is taken, if only by a key that is revoked: the audit log names keys by it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is or was an API key {name!r}: choose another name")
        self.name = name


class UnknownApiKey(PermanentError):
    """No key was made under this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no API key {name!r} was made here: see `billing api-keys list`")
        self.name = name


class InsufficientCredit(PermanentError):
    """The account cannot pay this without passing its overdraft limit."""

    def __init__(self, account: str, *, needed: int, available: int) -> None:
        super().__init__(
            f"account {account!r} has {available} credits available and {needed} are needed"
        )
        self.account = account
        self.needed = needed
        self.available = available


class IdempotencyConflict(PermanentError):
    """A key was used before with other content; nothing was applied this time."""

    def __init__(self, key: str, differences: Mapping[str, tuple[object, object]]) -> None:
        told = "; ".join(
            f"{field} was {before!r} and is now {now!r}"
            for field, (before, now) in differences.items()
        )
        super().__init__(f"{key} was recorded before with other content: {told}")
        self.key = key
        self.differences = dict(differences)


class UnknownCharge(PermanentError):
    """There is no charge of this key (for a posting: on its account), or its kind stays."""

    def __init__(self, key: str) -> None:
        super().__init__(f"no charge that can be given back has the key {key!r}")
        self.key = key


class ReversalTooLarge(PermanentError):
    """More was asked back than the charge took and earlier reversals left."""

    def __init__(self, key: str, *, asked: int, left: int) -> None:
        super().__init__(f"of {key!r} {left} credits can still be given back, not {asked}")
        self.key = key
        self.asked = asked
        self.left = left


class NothingToWriteOff(PermanentError):
    """A write-off is for debt, and for no more than there is."""

    def __init__(self, account: str, *, asked: int, debt: int) -> None:
        super().__init__(f"account {account!r} owes {debt} credits, {asked} cannot be written off")
        self.account = account
        self.asked = asked
        self.debt = debt


class InvalidHold(PermanentError):
    """A hold, or a capture of one, that does not make sense."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field
        self.problem = problem


class UnknownHold(PermanentError):
    """No hold has this id."""

    def __init__(self, hold_id: int) -> None:
        super().__init__(f"there is no hold {hold_id}")
        self.hold_id = hold_id


class HoldFinished(PermanentError):
    """The hold was captured, voided or expired before, by another request."""

    def __init__(self, hold_id: int, state: str) -> None:
        super().__init__(f"hold {hold_id} is {state} already")
        self.hold_id = hold_id
        self.state = state


class SecondPost(PermanentError):
    """`post` was called twice in one transaction: its lock order holds for one call only."""

    def __init__(self) -> None:
        super().__init__("one post a transaction: give all postings to one call")


class InvalidAnchor(PermanentError):
    """A file is not an anchor as `billing ledger anchor` writes it."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"not an anchor as `billing ledger anchor` writes it: {problem}")


class CannotAnchor(PermanentError):
    """An account's newest row and the account disagree: an anchor would fix the disagreement."""

    def __init__(self, account: str) -> None:
        super().__init__(
            f"account {account!r} does not agree with its newest ledger row:"
            " `billing ledger verify` tells more"
        )
        self.account = account


class VerificationFailed(TransientError):
    """A process of a verification ended before its work was done; nothing is known of the books."""


class UnknownLead(PermanentError):
    """No lead has this id."""

    def __init__(self, lead_id: str) -> None:
        super().__init__(f"unknown lead {lead_id!r}: `billing leads list` shows the newest")
        self.lead_id = lead_id


class LeadNotParked(PermanentError):
    """Only a parked lead can be released or cancelled."""

    def __init__(self, lead_id: str, state: str) -> None:
        super().__init__(f"lead {lead_id!r} is {state}, not parked: nothing was changed")
        self.lead_id = lead_id
        self.state = state


class InvalidReason(PermanentError):
    """The reason given for a change cannot be kept."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"reason {problem}: it is what an auditor will read")
        self.problem = problem


class InvalidOrder(PermanentError):
    """A field of an order does not make sense."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field
        self.problem = problem


class OrderAtOdds(PermanentError):
    """A gateway has another amount or currency under our receipt than was ordered."""

    def __init__(self, receipt: str) -> None:
        super().__init__(f"the gateway's order of receipt {receipt} is not what was ordered")
        self.receipt = receipt


class UnknownPayment(PermanentError):
    """No payment has this id."""

    def __init__(self, payment_id: str) -> None:
        super().__init__(
            f"unknown payment {payment_id!r}: `billing payments list` shows the newest"
        )
        self.payment_id = payment_id


class CannotRefund(PermanentError):
    """A payment, or so much of it, cannot be refunded."""

    def __init__(self, payment_id: str, problem: str, *, refundable_paise: int = 0) -> None:
        super().__init__(f"payment {payment_id} {problem}: nothing was changed")
        self.payment_id = payment_id
        self.problem = problem
        self.refundable_paise = refundable_paise


class InvalidRefund(PermanentError):
    """A field of a refund cannot be kept."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field
        self.problem = problem


class UnknownRefund(PermanentError):
    """No refund has this id."""

    def __init__(self, refund_id: object) -> None:
        super().__init__(f"unknown refund {refund_id}: `billing refunds list` shows the newest")
        self.refund_id = refund_id


class CannotAttach(PermanentError):
    """A payment cannot be given to this account."""

    def __init__(self, payment_id: str, problem: str) -> None:
        super().__init__(f"payment {payment_id} {problem}: nothing was changed")
        self.payment_id = payment_id


class PlanRefused(PermanentError):
    """A year of a plan that the account cannot have; nothing was changed."""

    def __init__(self, account: str, reason: str) -> None:
        todo = _WHAT_TO_DO[reason].format(account=account)
        super().__init__(f"{account}: {reason.replace('_', ' ')}: {todo}; nothing was changed")
        self.account = account
        self.reason = reason
        """A key of `_WHAT_TO_DO`."""


_WHAT_TO_DO = {
    "plan_bought_already": "`billing plans renew {account}` adds a year",
    "no_plan_to_renew": "`billing plans activate {account} --plan NAME` begins one",
    "renewal_of_another_plan": "`billing plans show {account}` tells which it has",
    "plan_not_in_catalog": "put the plan and its renewal into [plans] of the catalog",
}


class InvalidPlanYear(PermanentError):
    """A field of a year that an operator adds to a plan does not make sense."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field

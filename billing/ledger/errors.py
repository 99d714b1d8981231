"""The errors of the ledger."""

from errors import InvalidField, NotFound, PermanentError
from service.disclosure import fingerprint


class InvalidPosting(InvalidField):
    """The posting can never be applied, whatever the ledger holds: a mistake of the caller."""


class InsufficientCredit(PermanentError):
    """The account cannot pay this within its overdraft limit."""

    def __init__(self, account: str, *, needed: int, available: int) -> None:
        super().__init__(
            f"account {account!r} has {available} credits available and {needed} are needed"
        )
        self.account = account
        self.needed = needed
        self.available = available


class UnknownCharge(NotFound):
    """No charge on the account has this key, or its kind cannot be reversed."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"there is no charge {key!r} that can be reversed",
            logged=f"there is no charge {fingerprint(key)} that can be reversed",
        )
        self.key = key


class ReversalTooLarge(PermanentError):
    """The reversal is larger than what is left of the charge."""

    def __init__(self, key: str, *, asked: int, left: int) -> None:
        super().__init__(f"cannot reverse {asked} credits of {key!r}: {left} are left")
        self.key = key
        self.asked = asked
        self.left = left


class NothingToWriteOff(PermanentError):
    """The write-off is larger than the debt."""

    def __init__(self, account: str, *, asked: int, debt: int) -> None:
        super().__init__(f"cannot write off {asked} credits of account {account!r}: it owes {debt}")
        self.account = account
        self.asked = asked
        self.debt = debt


class SecondPost(PermanentError):
    """The transaction has already posted. The lock order holds for one post only."""

    def __init__(self) -> None:
        super().__init__(
            "this transaction has already posted: pass all its postings to one call of `post`"
        )

"""What the ledger refuses."""

from errors import InvalidField, NotFound, PermanentError


class InvalidPosting(InvalidField):
    """A posting that no ledger could take, whatever its state: a mistake of the caller."""


class InsufficientCredit(PermanentError):
    """The account cannot pay this without passing its overdraft limit."""

    def __init__(self, account: str, *, needed: int, available: int) -> None:
        super().__init__(
            f"account {account!r} has {available} credits available and {needed} are needed"
        )
        self.account = account
        self.needed = needed
        self.available = available


class UnknownCharge(NotFound):
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


class SecondPost(PermanentError):
    """`post` was called twice in one transaction: its lock order holds for one call only."""

    def __init__(self) -> None:
        super().__init__("one post a transaction: give all postings to one call")

"""What a rule refuses, typed: each error carries its ids and says what to do about it."""

from db.errors import PermanentError


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

    def __init__(self, key: str, differences: dict[str, tuple[object, object]]) -> None:
        told = "; ".join(
            f"{field} was {before!r} and is now {now!r}"
            for field, (before, now) in differences.items()
        )
        super().__init__(f"{key} was recorded before with other content: {told}")
        self.key = key
        self.differences = differences


class SecondPost(PermanentError):
    """`post` was called twice in one transaction: its lock order holds for one call only."""

    def __init__(self) -> None:
        super().__init__("one post a transaction: give all postings to one call")

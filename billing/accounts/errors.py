"""The errors of accounts."""

from errors import InvalidField, PermanentError


class AccountExists(PermanentError):
    """The reference is taken."""

    def __init__(self, account: str) -> None:
        super().__init__(
            f"account {account!r} already exists: see `billing accounts show {account}`"
        )
        self.account = account


class InvalidAccount(InvalidField):
    """A field of an account is invalid."""

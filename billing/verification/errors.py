"""Why books could not be verified or anchored."""

from errors import PermanentError, TransientError


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

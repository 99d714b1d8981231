"""The errors of verification and anchors."""

from errors import PermanentError, TransientError


class InvalidAnchor(PermanentError):
    """The file is not an anchor that `billing ledger anchor` wrote."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"the file is not an anchor of `billing ledger anchor`: {problem}")


class CannotAnchor(PermanentError):
    """An account does not match its newest row; an anchor would make that look right."""

    def __init__(self, account: str) -> None:
        super().__init__(
            f"account {account!r} does not match its newest ledger row: run `billing ledger verify`"
        )
        self.account = account


class VerificationFailed(TransientError):
    """A process of the verification ended early; the state of the books is unknown."""

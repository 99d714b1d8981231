"""Errors that several areas raise; those of one area are in its own `errors.py`."""

from collections.abc import Mapping

from errors import NotFound, PermanentError


class UnknownAccount(NotFound):
    """No account has this reference."""

    def __init__(self, account: str) -> None:
        super().__init__(f"unknown account {account!r}: create it with `billing accounts create`")
        self.account = account


class InvalidReason(PermanentError):
    """The reason given for a change cannot be recorded."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"reason {problem}: it is what an auditor will read")
        self.problem = problem


class IdempotencyConflict(PermanentError):
    """A key was used before with different content; nothing was applied this time."""

    def __init__(self, key: str, differences: Mapping[str, tuple[object, object]]) -> None:
        differing = "; ".join(
            f"{field} was {before!r} and is now {now!r}"
            for field, (before, now) in differences.items()
        )
        super().__init__(f"{key} was recorded before with other content: {differing}")
        self.key = key
        self.differences = dict(differences)

"""Errors that several areas raise; those of one area are in its own `errors.py`."""

from collections.abc import Callable, Mapping

from errors import NotFound, PermanentError
from service.disclosure import fingerprint


class UnknownAccount(NotFound):
    """No account has this reference."""

    def __init__(self, account: str) -> None:
        todo = "create it with `billing accounts create`"
        super().__init__(
            f"unknown account {account!r}: {todo}",
            logged=f"unknown account {fingerprint(account)}: {todo}",
        )
        self.account = account


class InvalidReason(PermanentError):
    """The reason given for a change cannot be recorded."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"reason {problem}: it is what an auditor will read")
        self.problem = problem


class IdempotencyConflict(PermanentError):
    """A key was used before with different content; nothing was applied this time."""

    def __init__(self, key: str, differences: Mapping[str, tuple[object, object]]) -> None:
        super().__init__(
            _conflict(key, differences, repr),
            logged=_conflict("its key", differences, _shown),
        )
        self.key = key
        self.differences = dict(differences)


def _conflict(
    key: str,
    differences: Mapping[str, tuple[object, object]],
    shown: Callable[[object], str],
) -> str:
    differing = "; ".join(
        f"{field} was {shown(before)} and is now {shown(now)}"
        for field, (before, now) in differences.items()
    )
    return f"{key} was recorded before with other content: {differing}"


def _shown(value: object) -> str:
    return fingerprint(value) if isinstance(value, str) else repr(value)

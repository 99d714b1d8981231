"""The root of the error tree: what may be tried again, and what may not.

Every error a rule raises on purpose is one of these, with typed fields and a message that tells
a person what to do. `TransientError` is retried by the inbox; `PermanentError` goes dead.
"""


class BillingError(Exception):
    """Base of every error that this system raises on purpose."""


class TransientError(BillingError):
    """The same call may succeed later: it is tried again."""


class PermanentError(BillingError):
    """The same call can never succeed: it goes dead, visible and replayable."""


class InvalidField(PermanentError):
    """A field of what was asked for does not make sense, whatever the state of the system."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field
        self.problem = problem


class NotFound(PermanentError):
    """What was named does not exist, or is out of the caller's reach."""

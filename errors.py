"""The root of the error tree: errors that may be retried, and errors that may not.

Every error that a rule raises on purpose is one of these, with typed fields and a message that says
what to do. The inbox retries a `TransientError`; a `PermanentError` goes dead.
"""


class BillingError(Exception):
    """Base of every error that this system raises on purpose."""


class TransientError(BillingError):
    """The same call may succeed later: it is retried."""


class PermanentError(BillingError):
    """The same call can never succeed: it goes dead, visible and replayable."""


class InvalidField(PermanentError):
    """A field of the request does not make sense, whatever the state of the system."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field
        self.problem = problem


class NotFound(PermanentError):
    """The named thing does not exist, or is out of the caller's reach."""

"""The root of the error tree: errors that may be retried, and errors that may not.

Every error that a rule raises on purpose is one of these, with typed fields and a message that says
what to do. The inbox retries a `TransientError`; a `PermanentError` goes dead.
"""


class BillingError(Exception):
    """Base of every error that this system raises on purpose."""

    def __init__(self, message: str = "", *, logged: str | None = None) -> None:
        """`logged` is the message for logs and rows, if `message` repeats what a sender wrote."""
        super().__init__(*([message] if message else []))
        self._logged = logged

    def for_log(self) -> str:
        """Return the message for logs and `last_error`: it repeats nothing that a sender wrote."""
        return str(self) if self._logged is None else self._logged


class TransientError(BillingError):
    """The same call may succeed later: it is retried."""


class PermanentError(BillingError):
    """The same call can never succeed: it goes dead, visible and replayable."""


class InvalidField(PermanentError):
    """A field of the request does not make sense, whatever the state of the system."""

    def __init__(self, field: str, problem: str, *, given: str | None = None) -> None:
        """`given` is the value, if whoever sent it may see it again; logs do not show it."""
        self.field = field
        self.problem = problem if given is None else f"{problem}, not {given!r}"
        super().__init__(f"{field} {self.problem}", logged=f"{field} {problem}")


class NotFound(PermanentError):
    """The named thing does not exist, or is out of the caller's reach."""

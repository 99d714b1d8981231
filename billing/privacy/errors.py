"""The errors of privacy."""

from errors import PermanentError


class InvalidIdentity(PermanentError):
    """What is given does not identify a person."""


class ReasonNamesPerson(PermanentError):
    """The reason, which stays in the audit log, names the person whose data is erased."""

    def __init__(self) -> None:
        super().__init__(
            "--reason names the person, and the audit log keeps it for ever: write the number of"
            " the request instead"
        )

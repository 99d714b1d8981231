"""The errors of holds."""

from errors import InvalidField, NotFound, PermanentError


class InvalidHold(InvalidField):
    """A field of a hold, or of a request to end one, is invalid."""


class UnknownHold(NotFound):
    """No hold has this id."""

    def __init__(self, hold_id: int) -> None:
        super().__init__(f"there is no hold {hold_id}")
        self.hold_id = hold_id


class HoldFinished(PermanentError):
    """The hold was already captured, voided or expired, by another request."""

    def __init__(self, hold_id: int, state: str) -> None:
        super().__init__(f"hold {hold_id} is already {state}")
        self.hold_id = hold_id
        self.state = state

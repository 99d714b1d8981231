"""What is refused of holds."""

from errors import InvalidField, NotFound, PermanentError


class InvalidHold(InvalidField):
    """A hold, or a capture of one, that does not make sense."""


class UnknownHold(NotFound):
    """No hold has this id."""

    def __init__(self, hold_id: int) -> None:
        super().__init__(f"there is no hold {hold_id}")
        self.hold_id = hold_id


class HoldFinished(PermanentError):
    """The hold was captured, voided or expired before, by another request."""

    def __init__(self, hold_id: int, state: str) -> None:
        super().__init__(f"hold {hold_id} is {state} already")
        self.hold_id = hold_id
        self.state = state

"""Fan-out."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class FanOut:
    """What one fan-out did."""

    placed: int
    """Notices that were given their position."""
    more: bool
    """Whether there is more to place: call again, in a new transaction."""
    mails: int = 0
    """Mails that it made due."""


def fan_out(session: Session, *, now: datetime) -> FanOut:
    """Give up to 500 notices their position and write what is due of them: deliveries and mails."""
    raise NotImplementedError

"""What a handler of inbox rows looks like.

A handler gets the locked rows of one batch and an open transaction, calls one billing function,
and says how each row ends. It never commits; its log lines are written after the commit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.inbox import Finished, LeasedEvent


@dataclass(frozen=True, slots=True)
class Handled:
    """How each row of a batch ends, in the batch's order, and what operators are told."""

    finished: list[Finished]
    log_lines: list[str]
    afterwards: Callable[[], object] | None = None
    """Called after the commit, in transactions of its own; what it misses, a sweep makes good."""


Handler = Callable[[Session, Sequence[LeasedEvent]], Handled]

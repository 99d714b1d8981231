"""What a handler of inbox rows is, and the outcome that it returns.

A handler gets the locked rows of one batch and an open transaction, calls one billing function,
and ends each row. It never commits; its log lines are written after the commit.
"""

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy.orm import Session

from db.inbox import Finished, LeasedEvent
from tasks.operator_lines import Line


class BatchOutcome:
    """How each row of a batch ends, and what follows the commit.

    Every event ends exactly once: a second end, a missing end and a foreign event are errors.
    """

    def __init__(self, events: Sequence[LeasedEvent]) -> None:
        self._ends: dict[int, Finished | None] = {event.id: None for event in events}
        self._lines: dict[int, Line] = {}
        self._more_lines: list[Line] = []
        self.afterwards: Callable[[], object] | None = None
        """Called after the commit, in transactions of its own; a sweep repeats what it misses."""

    def finish(self, event: LeasedEvent, end: Finished, *, log_line: Line | None = None) -> None:
        """End the row of `event`, with an operators' line; raises `ValueError` for a second end."""
        if self._ends.get(event.id, end) is not None:
            raise ValueError(f"row {event.id} is not in this batch, or has already ended")
        self._ends[event.id] = end
        if log_line is not None:
            self._lines[event.id] = log_line

    def log(self, lines: Iterable[Line]) -> None:
        """Add operators' lines that belong to no single row, after those of the rows."""
        self._more_lines.extend(lines)

    def ends(self) -> list[tuple[int, Finished]]:
        """Return each row's id and end, in the batch's order; raises `ValueError` if one has none.

        These are the rows of `db.inbox.finish`.
        """
        if missing := [row_id for row_id, end in self._ends.items() if end is None]:
            raise ValueError(f"rows without an end: {missing}")
        return [(row_id, end) for row_id, end in self._ends.items() if end is not None]

    def log_lines(self) -> list[Line]:
        """Return the operators' lines in the batch's order."""
        of_rows = [self._lines[row_id] for row_id in self._ends if row_id in self._lines]
        return [*of_rows, *self._more_lines]


Handler = Callable[[Session, Sequence[LeasedEvent]], BatchOutcome]

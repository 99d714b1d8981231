"""The outcome of a batch: every row ends exactly once."""

import pytest

import clock
from db.inbox import Finished, LeasedEvent
from tasks.inbox.handler import BatchOutcome
from tasks.operator_lines import Line

FIRST, SECOND, FOREIGN = (LeasedEvent(i, f"evt_{i}", b"{}", clock.now()) for i in (1, 2, 3))
DONE, DEAD = Finished("done", outcome="charged"), Finished("dead", error="UnknownAccount: no")


@pytest.fixture
def outcome() -> BatchOutcome:
    return BatchOutcome([FIRST, SECOND])


def test_ends_and_lines_come_in_the_order_of_the_batch(outcome: BatchOutcome) -> None:
    outcome.log([Line("of the batch")])
    outcome.finish(SECOND, DONE, log_line=Line("of the second"))
    outcome.finish(FIRST, DEAD, log_line=Line("of the first"))

    assert outcome.ends() == [(1, DEAD), (2, DONE)]
    lines = [line.text for line in outcome.log_lines()]
    assert lines == ["of the first", "of the second", "of the batch"]


def test_a_row_without_an_end_is_an_error(outcome: BatchOutcome) -> None:
    outcome.finish(SECOND, DONE)

    with pytest.raises(ValueError, match=r"rows without an end: \[1\]"):
        outcome.ends()


def test_a_row_ends_only_once(outcome: BatchOutcome) -> None:
    outcome.finish(FIRST, DONE)

    with pytest.raises(ValueError, match="row 1 "):
        outcome.finish(FIRST, DEAD)
    outcome.finish(SECOND, DONE)
    assert outcome.ends() == [(1, DONE), (2, DONE)]


def test_a_row_of_another_batch_is_refused(outcome: BatchOutcome) -> None:
    with pytest.raises(ValueError, match="row 3 is not in this batch"):
        outcome.finish(FOREIGN, DONE)

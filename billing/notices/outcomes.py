"""What becomes of a delivery after a call."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from billing.notices.answers import Attempted


def finish(session: Session, results: Sequence[Attempted], *, now: datetime) -> None:
    """Write what came of calls, of any number of lanes, each in the order of its calls.

    Log lines (`notice delivered|failed|dead`, `endpoint off`) are written after the commit. A
    result whose lease has expired and was taken by another is dropped.
    """
    raise NotImplementedError

"""Retention: bodies and answers are blanked once their time is up, in small steps.

Called by `tasks/retention.py`. The work is done by two functions of the database (migration 0010),
which are all that the role of DATABASE_RETENTION_URL may use: that role reads no table. A step is a
transaction of its own; how far the walk has come is committed with it, so that a worker that is
killed loses the step and nothing else.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Limits:
    """How long what is finished stays, in days; None: for ever."""

    bodies_days: int | None
    """Bodies of deliveries that are done or ignored, from their receipt."""
    dead_days: int | None
    """Bodies of dead deliveries, which can be replayed until then."""
    answers_days: int | None
    """Answers stored under an Idempotency-Key, from the request."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did."""

    rows: int
    more: bool
    """Whether the next step may find something."""


_BLANK = text("SELECT blanked, more FROM retention_blank(:now, :finished, :dead, :most)")
_FOLD = text("SELECT folded, more FROM retention_fold(:now, :asked, :most)")


def blank_some(session: Session, limits: Limits, *, now: datetime) -> Step:
    """Blank the bodies of up to `ROWS_AT_ONCE` deliveries whose time is up.

    Pending ones are never blanked. Their source, event id, hash and outcome stay: a repeat is found
    by them. Raises `RightMissing` if the connection's role may not.
    """
    if limits.bodies_days is None:
        return Step(0, more=False)
    times = {
        "now": now,
        "finished": _before(now, limits.bodies_days),
        "dead": _before(now, limits.dead_days),
    }
    blanked, more = session.execute(_BLANK, {**times, "most": ROWS_AT_ONCE}).one()
    return Step(blanked or 0, more=bool(more))


def fold_some(session: Session, limits: Limits, *, now: datetime) -> Step:
    """Drop the answers of up to `ROWS_AT_ONCE` requests whose time is up; hash and status stay.

    A repeat of such a request is refused, whatever became of the first. Raises as `blank_some`.
    """
    if limits.answers_days is None:
        return Step(0, more=False)
    asked = {"now": now, "asked": _before(now, limits.answers_days), "most": ROWS_AT_ONCE}
    folded, more = session.execute(_FOLD, asked).one()
    return Step(folded or 0, more=bool(more))


def _before(now: datetime, days: int | None) -> datetime | None:
    return None if days is None else now - timedelta(days=days)

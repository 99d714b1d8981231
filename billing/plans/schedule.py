"""The states of a plan and the steps between them: what holds when, by the catalog. Pure.

    active -> due_soon (30 days before) -> past_due (the day it is due) -> degraded (grace is over)

and back to active with each payment. Nothing here asks whether a tick came in time: the state at a
moment follows from the due date and the zone alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from billing import catalog
from billing.plans.calendar import start_of


class Status(StrEnum):
    """What a plan's renewal has come to."""

    ACTIVE = "active"
    DUE_SOON = "due_soon"
    PAST_DUE = "past_due"
    DEGRADED = "degraded"


_ORDER = list(Status)


@dataclass(frozen=True, slots=True)
class Step:
    """What happens as a certain day begins."""

    days: int
    """From the day that is due; negative: before."""
    status: Status | None
    """What the plan becomes then; None: it stays as it is."""
    reminds: bool


@dataclass(frozen=True, slots=True)
class DueStep:
    """A step of one plan."""

    step: Step
    at: datetime


def grace_ends(due_on: date, timezone: str) -> datetime:
    """Return when the grace of a due date ends: paid until then, the years go on from the date."""
    return start_of(due_on + timedelta(days=catalog.get().renewal.grace_days), timezone)


def status_at(due_on: date, timezone: str, moment: datetime) -> Status:
    """Return the state at a moment of a plan that is paid up to a day."""
    status = Status.ACTIVE
    for step in steps():
        if step.status is not None and moment >= at(step, due_on, timezone):
            status = step.status
    return status


def begins(status: Status, due_on: date, timezone: str) -> datetime | None:
    """Return when a plan that is not paid again gets into a state.

    None: never, as into active, and into past_due where the catalog has no grace.
    """
    for step in steps():
        if step.status is status:
            return at(step, due_on, timezone)
    return None


def steps_after(days: int | None, status: Status, due_on: date, timezone: str) -> Iterator[DueStep]:
    """Yield the steps behind the last that was done, in their order, with their instants.

    Also what leads on from `status` where the catalog has moved it before the last that was done.
    """
    for step in steps():
        if days is None or step.days > days:
            yield DueStep(step, at(step, due_on, timezone))
        elif step.status is not None and step.status in later_than(status):
            yield DueStep(replace(step, reminds=False), at(step, due_on, timezone))


def later_than(status: Status) -> Sequence[Status]:
    """Return the states that come after one where nobody pays, in their order."""
    return _ORDER[_ORDER.index(status) + 1 :]


def at(step: Step, due_on: date, timezone: str) -> datetime:
    """Return the instant of a step: the beginning of its local day."""
    return start_of(due_on + timedelta(days=step.days), timezone)


def steps() -> Sequence[Step]:
    """Return the steps of each year's end, by the catalog, in their order."""
    rules = catalog.get().renewal
    becomes = {-rules.due_soon_days: Status.DUE_SOON, 0: Status.PAST_DUE}
    becomes[rules.grace_days] = Status.DEGRADED  # at once, where there is no grace
    days = sorted({*becomes, *rules.reminder_days})
    return tuple(Step(day, becomes.get(day), day in rules.reminder_days) for day in days)

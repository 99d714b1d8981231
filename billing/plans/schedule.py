"""The states of a plan's renewal and the steps between them, by the catalog. Pure.

    active -> due_soon (30 days before) -> past_due (the day it is due) -> degraded (grace is over)

and back to active with each payment. Nothing here asks if a tick came in time: the state at a
moment follows from the due date and the zone alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from billing import catalog
from billing.plans.calendar import start_of


class RenewalStatus(StrEnum):
    """The state of a plan's renewal, in the order in which an unpaid plan passes through."""

    ACTIVE = "active"
    DUE_SOON = "due_soon"
    PAST_DUE = "past_due"
    DEGRADED = "degraded"


_ORDER = list(RenewalStatus)


@dataclass(frozen=True, slots=True)
class Step:
    """What happens at the beginning of a certain day."""

    days: int
    """From the day that is due; negative: before it."""
    status: RenewalStatus | None
    """The status from then on; None: it stays."""
    reminds: bool


@dataclass(frozen=True, slots=True)
class DueStep:
    """A step of one plan, with its instant."""

    step: Step
    at: datetime


def grace_end(due_on: date, timezone: str) -> datetime:
    """Return when the grace of a due date ends. Paid before, the years go on from the due date."""
    return start_of(due_on + timedelta(days=catalog.get().renewal.grace_days), timezone)


def status_at(due_on: date, timezone: str, moment: datetime) -> RenewalStatus:
    """Return the status at a moment of a plan that is due on a day."""
    status = RenewalStatus.ACTIVE
    for step in renewal_steps():
        if step.status is not None and moment >= _instant(step, due_on, timezone):
            status = step.status
    return status


def status_start(status: RenewalStatus, due_on: date, timezone: str) -> datetime | None:
    """Return when a plan that is not paid again gets into a status.

    None: never, such as `active`, or `past_due` if the catalog has no grace.
    """
    for step in renewal_steps():
        if step.status is status:
            return _instant(step, due_on, timezone)
    return None


def steps_after(
    days: int | None, status: RenewalStatus, due_on: date, timezone: str
) -> Iterator[DueStep]:
    """Yield the steps after the last one that was done, in order, with their instants.

    `days` is that last step, in days from the due date; None: none was done. If a changed catalog
    has moved a later status before it, that step is yielded as well, without its reminder.
    """
    for step in renewal_steps():
        if days is None or step.days > days:
            yield DueStep(step, _instant(step, due_on, timezone))
        elif step.status is not None and step.status in statuses_after(status):
            yield DueStep(replace(step, reminds=False), _instant(step, due_on, timezone))


def statuses_after(status: RenewalStatus) -> Sequence[RenewalStatus]:
    """Return the statuses that follow one if nobody pays, in order."""
    return _ORDER[_ORDER.index(status) + 1 :]


def renewal_steps() -> Sequence[Step]:
    """Return the steps around each due date, by the catalog, in order."""
    rules = catalog.get().renewal
    becomes = {-rules.due_soon_days: RenewalStatus.DUE_SOON, 0: RenewalStatus.PAST_DUE}
    becomes[rules.grace_days] = RenewalStatus.DEGRADED  # on the due day if there is no grace
    days = sorted({*becomes, *rules.reminder_days})
    return tuple(Step(day, becomes.get(day), day in rules.reminder_days) for day in days)


def _instant(step: Step, due_on: date, timezone: str) -> datetime:
    """Return the instant of a step: the beginning of its local day."""
    return start_of(due_on + timedelta(days=step.days), timezone)

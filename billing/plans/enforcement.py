"""Renewal enforcement: what becomes of plans that are not paid again, step by step, each once.

The steps of a year's end and their instants are in `billing/plans/schedule.py`. A plan's row says
which was done last and when the next is due, so that ticks may be missed, late or doubled. After a
downtime every state in between is still passed through and told of; of the reminders that are due
only the newest goes out, the older are written down as superseded.

Called by `tasks/plans/enforcement.py` on beat, and by `billing/plans/renewal.py` when a year is
paid.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

import clock
from billing import audit, catalog
from billing.plans import rows as plan_rows
from billing.plans.calendar import UNRECKONABLE
from billing.plans.rows import Owner
from billing.plans.schedule import DueStep, Status, grace_ends, steps_after
from db import outbox
from db.models import AccountPlan
from db.outbox import NewNotice

REMINDER = "renewal.reminder"
"""Topic of the outbox."""
CHUNK = 500
PUT_OFF = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Enforced:
    """What one transaction did."""

    plans: int
    put_off: Mapping[str, str]
    """Account -> what is wrong with it; it is tried again in an hour."""


@dataclass(slots=True)
class Record:
    """What is written down of steps: for auditors, and for whoever wants to hear of them."""

    changes: list[audit.Change] = field(default_factory=list)
    notices: list[NewNotice] = field(default_factory=list)

    def write(self, session: Session) -> None:
        """Add it all to the caller's transaction, in its order."""
        audit.record_all(session, self.changes)
        outbox.write(session, self.notices, now=clock.now())


def enforce_due(session: Session, *, limit: int = CHUNK) -> Enforced:
    """Do the steps that are due of up to `limit` plans that nobody else works on.

    Called until there are none.
    """
    now = clock.now()
    plans = plan_rows.lease_steps(session, now=now, limit=limit)
    owners = plan_rows.owners(session, [plan.account_id for plan in plans])
    record = Record()
    put_off: dict[str, str] = {}
    for plan in plans:
        owner = owners[plan.account_id]
        try:
            advance(plan, owner, record, until=now, remind=True)
        except UNRECKONABLE as error:
            # The others must not wait for it.
            put_off[owner.ref] = f"{type(error).__name__}: {error}"
            plan.next_step_at = now + PUT_OFF
    plan_rows.step_on(session, plans)
    record.write(session)
    return Enforced(len(plans), put_off)


def advance(
    plan: AccountPlan, owner: Owner, record: Record, *, until: datetime, remind: bool
) -> None:
    """Do the steps of a locked plan that are due by `until`, and note each in `record`.

    `remind`: the newest reminder is to be sent; else all are superseded, since the year is paid.
    """
    due_on, was = plan_rows.due_on(plan), Status(plan.service_renewal_status)
    steps = list(steps_after(plan.stepped_to, was, due_on, owner.timezone))
    due = [step for step in steps if step.at <= until]
    # Also where none is due: the catalog may have moved the steps since this was reckoned, and the
    # end of the grace with them. What is over is over.
    plan.next_step_at = steps[len(due)].at if len(due) < len(steps) else None
    if was is not Status.DEGRADED:
        plan.grace_ends_at = grace_ends(due_on, owner.timezone)
    if not due:
        return
    newest = next((step for step in reversed(due) if step.step.reminds), None) if remind else None
    for step in due:
        if step.step.status is not None:
            _become(plan, owner, record, step.step.status, at=step.at)
        if step.step.reminds:
            _remind(plan, owner, record, step, superseded=step is not newest)
    done = due[-1].step.days
    plan.stepped_to = done if plan.stepped_to is None else max(done, plan.stepped_to)
    plan.updated_at = clock.now()


def reactivate(plan: AccountPlan, owner: Owner, record: Record) -> None:
    """Make a locked plan active, whose year was paid."""
    _become(plan, owner, record, Status.ACTIVE, at=clock.now())


def _become(
    plan: AccountPlan, owner: Owner, record: Record, status: Status, *, at: datetime
) -> None:
    if plan.service_renewal_status == status.value:
        return
    before = {"service_renewal_status": plan.service_renewal_status}
    plan.service_renewal_status = status.value
    after = {"service_renewal_status": status.value, "at": at.isoformat()}
    subject, action = f"account:{owner.ref}", f"plan.{status}"
    record.changes.append(audit.Change(subject, action, before, after))
    payload = _told(plan, owner) | {"was": before["service_renewal_status"], "at": at.isoformat()}
    record.notices.append(NewNotice(action, subject, owner.id, payload))


def _remind(
    plan: AccountPlan, owner: Owner, record: Record, step: DueStep, *, superseded: bool
) -> None:
    payload = _told(plan, owner) | {"days": step.step.days, "at": step.at.isoformat()}
    record.notices.append(
        NewNotice(REMINDER, f"account:{owner.ref}", owner.id, payload, superseded=superseded)
    )


def _told(plan: AccountPlan, owner: Owner) -> dict[str, object]:
    due_on = plan_rows.due_on(plan)
    grace = timedelta(days=catalog.get().renewal.grace_days)
    return {
        "account": owner.ref,
        "plan_type": plan.plan_type,
        "service_renewal_status": plan.service_renewal_status,
        "due_on": due_on.isoformat(),
        "grace_ends_on": (due_on + grace).isoformat(),
    }

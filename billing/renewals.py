"""Renewal enforcement: what becomes of plans that are not paid again, step by step, each once.

The steps of a year's end and their instants are in `billing/plan_status.py`. A plan's row says
which was done last and when the next is due, so that ticks may be missed, late or doubled. After a
downtime every state in between is still passed through and told of; of the reminders that are due
only the newest goes out, the older are written down as superseded.

Called by `tasks/renewals.py` on beat, and by `billing/plans.py` when a year is paid.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfoNotFoundError

from sqlalchemy.orm import Session

import clock
from billing import audit, catalog, plan_rows
from billing.plan_rows import Owner
from billing.plan_status import DueStep, Status, steps_after
from db import outbox
from db.outbox import NewNotice
from db.plan_models import AccountPlan

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


def enforce_due(session: Session, *, limit: int = CHUNK) -> Enforced:
    """Do the steps that are due of up to `limit` plans that nobody else works on.

    Called until there are none.
    """
    now = clock.now()
    plans = plan_rows.lease_steps(session, now=now, limit=limit)
    owners = plan_rows.owners(session, [plan.account_id for plan in plans])
    put_off: dict[str, str] = {}
    for plan in plans:
        owner = owners[plan.account_id]
        try:
            advance(session, plan, owner, until=now, remind=True)
        except (ZoneInfoNotFoundError, ValueError, OverflowError) as error:
            # Such as a zone that the zone database no longer has: the others must not wait for it.
            put_off[owner.ref] = f"{type(error).__name__}: {error}"
            plan.next_step_at = now + PUT_OFF
    session.flush()
    return Enforced(len(plans), put_off)


def advance(
    session: Session, plan: AccountPlan, owner: Owner, *, until: datetime, remind: bool
) -> None:
    """Do the steps of a locked plan that are due by `until`, and write down each.

    `remind`: the newest reminder is to be sent; else all are superseded, since the year is paid.
    """
    due_on = plan_rows.due_on(plan)
    steps = list(steps_after(plan.stepped_to, due_on, owner.timezone))
    due = [step for step in steps if step.at <= until]
    # Also where none is due: the catalog may have moved the steps since this was reckoned.
    plan.next_step_at = steps[len(due)].at if len(due) < len(steps) else None
    if not due:
        return
    newest = next((step for step in reversed(due) if step.step.reminds), None) if remind else None
    for step in due:
        if step.step.status is not None:
            _become(session, plan, owner, step.step.status, at=step.at)
        if step.step.reminds:
            _remind(session, plan, owner, step, superseded=step is not newest)
    plan.stepped_to = due[-1].step.days
    plan.updated_at = clock.now()


def reactivate(session: Session, plan: AccountPlan, owner: Owner) -> None:
    """Make a locked plan active, whose year was paid."""
    _become(session, plan, owner, Status.ACTIVE, at=clock.now())


def _become(
    session: Session, plan: AccountPlan, owner: Owner, status: Status, *, at: datetime
) -> None:
    if plan.service_renewal_status == status.value:
        return
    before = {"service_renewal_status": plan.service_renewal_status}
    plan.service_renewal_status = status.value
    after = {"service_renewal_status": status.value, "at": at.isoformat()}
    subject, action = f"account:{owner.ref}", f"plan.{status}"
    audit.record_all(session, [audit.Change(subject, action, before, after)])
    payload = _told(plan, owner) | {"was": before["service_renewal_status"], "at": at.isoformat()}
    outbox.write(session, [NewNotice(action, subject, owner.id, payload)], now=clock.now())


def _remind(
    session: Session, plan: AccountPlan, owner: Owner, step: DueStep, *, superseded: bool
) -> None:
    payload = _told(plan, owner) | {"days": step.step.days, "at": step.at.isoformat()}
    notice = NewNotice(REMINDER, f"account:{owner.ref}", owner.id, payload, superseded=superseded)
    outbox.write(session, [notice], now=clock.now())


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

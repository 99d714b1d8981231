"""The renewal steps of one locked plan: changes of status and reminders, each once.

A plan's row says which step was done last and when the next is due, so that ticks may be missed,
late or doubled. After a downtime every status in between is still passed through and recorded; of
the reminders that are due only the newest is sent, the older ones are recorded as superseded.

Called by `billing/plans/enforcement.py` on beat, and by `billing/plans/renewal.py` when a year is
paid. `schedule.py` says which steps there are.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

import clock
from billing import audit, catalog
from billing.plans.plan_dates import due_day
from billing.plans.plan_locks import Owner
from billing.plans.schedule import DueStep, RenewalStatus, grace_end, steps_after
from billing.topics import Topic
from db import outbox
from db.models import AccountPlan
from db.outbox import NewNotice


@dataclass(slots=True)
class StepLog:
    """What steps leave behind: entries of the audit log, and notices."""

    changes: list[audit.Change] = field(default_factory=list)
    notices: list[NewNotice] = field(default_factory=list)

    def add_year(self, notice: NewNotice) -> None:
        """Add the notice of a paid year, before the one that the plan is active again for it.

        The newest notice of a plan says its status: receivers drop older ones.
        """
        is_active_again = bool(self.notices) and self.notices[-1].topic == Topic.PLAN_ACTIVE
        self.notices.insert(len(self.notices) - is_active_again, notice)

    def write(self, session: Session) -> None:
        """Write it all in the caller's transaction, in order."""
        audit.record_all(session, self.changes)
        outbox.write(session, self.notices, now=clock.now())


def take_steps(
    plan: AccountPlan, owner: Owner, log: StepLog, *, until: datetime, remind: bool
) -> None:
    """Take the steps of a locked plan that are due by `until`, and add each to `log`.

    `remind`: the newest reminder is to be sent; otherwise the year is paid, and all are superseded.
    """
    due_on, status = due_day(plan), RenewalStatus(plan.service_renewal_status)
    steps = list(steps_after(plan.stepped_to, status, due_on, owner.timezone))
    due = [step for step in steps if step.at <= until]
    # Even if no step is due: a changed catalog may have moved the steps and the end of the grace
    # since they were computed. A grace that is over stays over.
    plan.next_step_at = steps[len(due)].at if len(due) < len(steps) else None
    if status is not RenewalStatus.DEGRADED:
        plan.grace_ends_at = grace_end(due_on, owner.timezone)
    if not due:
        return
    newest = next((step for step in reversed(due) if step.step.reminds), None) if remind else None
    for step in due:
        if step.step.status is not None:
            _change_status(plan, owner, log, step.step.status, at=step.at)
        if step.step.reminds:
            _add_reminder(plan, owner, log, step, superseded=step is not newest)
    done = due[-1].step.days
    plan.stepped_to = done if plan.stepped_to is None else max(done, plan.stepped_to)
    plan.updated_at = clock.now()


def reactivate(plan: AccountPlan, owner: Owner, log: StepLog) -> None:
    """Make a locked plan active, because its year was paid."""
    _change_status(plan, owner, log, RenewalStatus.ACTIVE, at=clock.now())


def _change_status(
    plan: AccountPlan, owner: Owner, log: StepLog, status: RenewalStatus, *, at: datetime
) -> None:
    was = plan.service_renewal_status
    if was == status.value:
        return
    plan.service_renewal_status = status.value
    subject, topic = f"account:{owner.ref}", Topic(f"plan.{status}")
    before = {"service_renewal_status": was}
    after = {"service_renewal_status": status.value, "at": at.isoformat()}
    log.changes.append(audit.Change(subject, topic.value, before, after))
    payload = _payload(plan, owner) | {"was": was, "at": at.isoformat()}
    log.notices.append(NewNotice(topic, subject, owner.id, payload))


def _add_reminder(
    plan: AccountPlan, owner: Owner, log: StepLog, step: DueStep, *, superseded: bool
) -> None:
    subject = f"account:{owner.ref}"
    payload = _payload(plan, owner) | {"days": step.step.days, "at": step.at.isoformat()}
    log.notices.append(
        NewNotice(Topic.RENEWAL_REMINDER, subject, owner.id, payload, superseded=superseded)
    )


def _payload(plan: AccountPlan, owner: Owner) -> dict[str, object]:
    due_on = due_day(plan)
    grace = timedelta(days=catalog.get().renewal.grace_days)
    return {
        "account": owner.ref,
        "plan_type": plan.plan_type,
        "service_renewal_status": plan.service_renewal_status,
        "due_on": due_on.isoformat(),
        "grace_ends_on": (due_on + grace).isoformat(),
    }

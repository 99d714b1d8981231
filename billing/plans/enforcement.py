"""Renewal enforcement: takes the renewal steps that are due, of many plans at a time.

Called by `tasks/plans/enforcement.py` on beat. `renewal_steps.py` says what a step does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

import clock
from billing.plans import leases
from billing.plans.calendar import CALENDAR_ERRORS, problem_in
from billing.plans.plan_locks import load_owners
from billing.plans.renewal_steps import StepLog, take_steps

CHUNK_SIZE = 500
PUT_OFF = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Enforced:
    """What one transaction did."""

    plans: int
    put_off: Mapping[str, str]
    """Account -> what is wrong with its dates; it is tried again in an hour."""


def enforce_due(session: Session, *, limit: int = CHUNK_SIZE) -> Enforced:
    """Take the steps that are due of up to `limit` plans that nobody else works on.

    Called until it finds none.
    """
    now = clock.now()
    plans = leases.lease_due_steps(session, now=now, limit=limit)
    owners = load_owners(session, [plan.account_id for plan in plans])
    log = StepLog()
    put_off: dict[str, str] = {}
    for plan in plans:
        owner = owners[plan.account_id]
        try:
            take_steps(plan, owner, log, until=now, remind=True)
            plan.step_problem = None
        except CALENDAR_ERRORS as error:  # the others must not wait for it
            put_off[owner.ref] = plan.step_problem = problem_in(owner.timezone, error)
            plan.next_step_at = now + PUT_OFF
    leases.save_steps(session, plans)
    log.write(session)
    return Enforced(len(plans), put_off)

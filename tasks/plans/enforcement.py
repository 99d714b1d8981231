"""Renewal enforcement on beat: the due steps of plans whose renewal is not paid.

A tick works until nothing is due: lost, doubled and late ticks are harmless, and two may run at
once.
"""

import time

import structlog

from billing import audit
from billing.plans import enforcement
from db.session import transaction
from worker.app import app

log = structlog.get_logger()

ACTOR = "system:renewals"
TURN_SECONDS = 20
"""After this a tick leaves the rest to the next, and the process to other work for a moment."""


@app.task(name="tasks.renewals.enforce")
def enforce() -> None:
    """Take the renewal steps that are due."""
    stop_at = time.monotonic() + TURN_SECONDS
    done = 0
    with audit.asked_by(ACTOR, door="beat"):
        while time.monotonic() < stop_at:
            enforced = _enforce_some()
            if not enforced:
                break
            done += enforced
    if done:
        log.info("renewals enforced", plans=done)


def _enforce_some() -> int:
    with transaction() as session:
        enforced = enforcement.enforce_due(session)
    for account, error in enforced.put_off.items():
        log.error("plan put off", account=account, error=error)
    return enforced.plans

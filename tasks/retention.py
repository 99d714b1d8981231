"""Retention on beat: bodies and answers whose time is up are blanked, step by step.

A tick works until nothing is due or its time is up; the next one goes on. Each step is a
transaction of its own as the role of DATABASE_RETENTION_URL, which may do nothing else.
"""

import time
from collections.abc import Callable

import structlog

import clock
import settings
from billing.privacy import retention
from billing.privacy.retention import Limits, Step
from db.errors import RightMissing
from db.roles import Role
from db.session import transaction
from worker.app import app

log = structlog.get_logger()

WORK_SECONDS = 20
"""After this a tick leaves the rest to the next one: other work waits for this process."""


@app.task(name="tasks.retention.blank")
def blank() -> None:
    """Blank the bodies of finished deliveries, and drop stored answers, whose time is up."""
    known = settings.get()
    limits = Limits(
        bodies_days=known.retention_bodies_days or None,
        dead_days=known.retention_dead_days or None,
        answers_days=known.retention_answers_days or None,
    )
    stop_at = time.monotonic() + WORK_SECONDS
    try:
        bodies = _step_by_step(retention.blank_some, limits, stop_at)
        answers = _step_by_step(retention.fold_some, limits, stop_at)
    except RightMissing as error:
        # Nothing else depends on it; but a promise is not kept until somebody sees to it.
        log.error("retention not allowed", error=str(error), setting="DATABASE_RETENTION_URL")
        return
    if bodies or answers:
        log.info("personal data blanked", bodies=bodies, answers=answers)


def _step_by_step(step: Callable[..., Step], limits: Limits, stop_at: float) -> int:
    rows, more = 0, True
    while more and time.monotonic() < stop_at:
        with transaction(Role.RETENTION) as session:
            done = step(session, limits, now=clock.now())
        rows, more = rows + done.rows, done.more
    return rows

"""Renewal enforcement on beat: the due steps of plans whose renewal is not paid.

A tick works until nothing is due: lost, doubled and late ticks are harmless, and two may run at
once.
"""

import time
from collections.abc import Callable

import structlog
from sqlalchemy.orm import Session

from billing import audit
from billing.payments import plan_orders
from billing.plans import enforcement
from db.session import transaction
from worker.app import app

log = structlog.get_logger()

ACTOR = "system:renewals"
TURN_SECONDS = 20
"""After this a tick leaves the rest to the next, and the process to other work for a moment."""


@app.task(name="tasks.renewals.enforce")
def enforce() -> None:
    """Add the years that paid orders still lack, then do the steps that are due."""
    stop_at = time.monotonic() + TURN_SECONDS
    with audit.asked_by(ACTOR, door="beat"):
        _apply_orders(stop_at)
        done = _repeat(_enforce, stop_at)
    if done:
        log.info("renewals enforced", plans=done)


def _apply_orders(stop_at: float) -> None:
    after_id = 0
    while time.monotonic() < stop_at:
        with transaction() as session:
            found = plan_orders.apply_next(session, actor=ACTOR, behind=after_id)
        if found is None:
            return
        after_id = found.order_id
        if found.problem is not None:
            log.error("plan order put off", receipt=found.receipt, error=found.problem)


def _enforce(session: Session) -> int:
    enforced = enforcement.enforce_due(session)
    for account, error in enforced.put_off.items():
        log.error("plan put off", account=account, error=error)
    return enforced.plans


def _repeat(do: Callable[[Session], int], stop_at: float) -> int:
    total = 0
    while time.monotonic() < stop_at:
        with transaction() as session:
            done = do(session)
        if not done:
            break
        total += done
    return total

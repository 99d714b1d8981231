"""Keeping the ledger's promises in time: holds and lots whose time is up, on beat.

A tick asks what is due and goes on until nothing is: lost, doubled and late ticks are harmless.
"""

from collections.abc import Callable

import structlog
from sqlalchemy.orm import Session

from billing import audit, expiry, holds
from db.session import transaction
from worker.app import app

log = structlog.get_logger()


@app.task(name="tasks.ledger.expire")
def expire() -> None:
    """End the holds whose time is up, then let the credit expire that is past its own."""
    with audit.asked_by("system:expiry", door="beat"):
        ended = _until_none_is_left(holds.expire_due)
        accounts = _until_none_is_left(expiry.expire_due)
    if ended or accounts:
        log.info("expired", holds=ended, accounts_with_lots=accounts)


def _until_none_is_left(expire_due: Callable[[Session], int]) -> int:
    total = 0
    while True:
        with transaction() as session:
            done = expire_due(session)
        if not done:
            return total
        total += done

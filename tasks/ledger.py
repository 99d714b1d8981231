"""Keeping the ledger's promises in time: holds and lots whose time is up, on beat.

A tick asks what is due and goes on until nothing is: lost, doubled and late ticks are harmless.
"""

import structlog

from billing import expiry, holds
from db.session import transaction
from worker.app import app

log = structlog.get_logger()


@app.task(name="tasks.ledger.expire")
def expire() -> None:
    """End the holds whose time is up, then let the credit expire that is past its own."""
    ended = 0
    while True:
        with transaction() as session:
            more = holds.expire_due(session)
        ended += more
        if not more:
            break
    accounts = 0
    while True:
        with transaction() as session:
            touched = expiry.expire_due(session)
        accounts += touched
        if not touched:
            break
    if ended or accounts:
        log.info("expired", holds=ended, accounts_with_lots=accounts)

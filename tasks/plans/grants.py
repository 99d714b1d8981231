"""Monthly grants on beat, fanned out over the workers.

A tick grants the months that have begun. A worker that leases a whole chunk calls one more, so
that all of them take part in a long run, each for some seconds at a time: leads and payments
take turns with it. Chunks are leased with SKIP LOCKED and committed one by one, so that any number
of workers may take part and any may be killed.
"""

import time

import structlog

from billing import audit
from billing.plans import grants, parse_month
from billing.plans.grants import CHUNK_SIZE
from tasks.plans import grant_chunks
from tasks.plumbing import broker
from worker.app import app

log = structlog.get_logger()

NAME = "tasks.grants.grant"
TURN_SECONDS = 5
EXPIRES_SECONDS = 300
"""When a call is dropped unread: by then ticks have sent others."""


@app.task(name=NAME)
def grant(through: str | None = None) -> None:
    """Grant what is due, at most to the month `through` (2026-11), for `TURN_SECONDS`."""
    granted = withheld = 0
    called = False
    with audit.asked_by(grants.ACTOR, door="beat"):
        for chunk in grant_chunks.chunks(
            through=parse_month(through) if through else None,
            stop_at=time.monotonic() + TURN_SECONDS,
        ):
            granted += chunk.granted.total()
            withheld += chunk.withheld.total()
            for account, error in chunk.put_off.items():
                log.error("grant put off", account=account, error=error)
            if chunk.accounts == CHUNK_SIZE and not called:
                called = call_worker(through)
    if granted or withheld:
        log.info("monthly credit granted", months=granted, withheld=withheld)


def call_worker(through: str | None) -> bool:
    """Ask one more worker to take part; without a broker none comes, until the next tick."""
    try:
        app.send_task(NAME, kwargs={"through": through}, expires=EXPIRES_SECONDS)
    except broker.UNREACHABLE as error:
        log.warning("no worker called", error=type(error).__name__)
    return True

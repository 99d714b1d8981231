"""Releasing parked leads when there is credit: on beat, and at once where a door nudges."""

import structlog

from billing import audit
from billing.leads import parking
from db.session import transaction
from tasks.leads.events import deduction_line
from tasks.plumbing import nudges
from worker.app import app

log = structlog.get_logger()


@app.task(name=nudges.RELEASE_TASK)
def release() -> None:
    """Charge the parked leads that are covered by now, batch by batch, until none is left."""
    nudges.taken(nudges.RELEASE)
    while True:
        with audit.asked_by(parking.RELEASE_ACTOR, door="beat"), transaction() as session:
            released = parking.release_due(session)
        if not released:
            return
        for lead in released:
            log.info(deduction_line(lead.account, lead.credits))

"""The release of parked leads when there is credit: on beat, and at once when a door nudges."""

from billing import audit
from billing.leads import parking
from db.session import transaction
from tasks.operator_lines import released_line, write_to_log
from tasks.plumbing import nudges
from worker.app import app


@app.task(name=nudges.RELEASE_TASK)
def release() -> None:
    """Charge the parked leads that credit covers by now, batch by batch, until none is left."""
    nudges.acknowledge(nudges.RELEASE)
    while True:
        with audit.asked_by(parking.RELEASE_ACTOR, door="beat"), transaction() as session:
            released = parking.release_due(session)
        if not released:
            return
        write_to_log(map(released_line, released))

"""The Celery door of lead disputes, and the quality scores on beat.

`open(lead_id, account, dispute_type, description, evidence=None, request_id=None)` disputes one
lead. Any Celery app on the same Redis calls it by name. Nothing is answered: what became of the
call is its row in the inbox, and the dispute.
"""

from typing import Any

import structlog

from billing import audit
from billing.disputes import quality
from db.session import transaction
from tasks.disputes import calls as dispute_calls
from tasks.inbox import recorder as recording
from tasks.plumbing import nudges
from worker.app import app

log = structlog.get_logger()

SCORE_TASK = "tasks.disputes.score"
ACTOR = "system:quality"


# Whatever the arguments are, the call must reach us: we bind them ourselves.
@app.task(**recording.door(dispute_calls.TASK, dispute_calls.PARAMETERS))
def open_dispute(self: Any, /, *args: Any, **kwargs: Any) -> None:
    """Record one dispute to open; what cannot be opened becomes a dead row."""
    recording.record_patiently(dispute_calls.read(self.request.id, args, kwargs))
    nudges.soon(dispute_calls.SOURCE)


@app.task(name=SCORE_TASK)
def score() -> None:
    """Compute the quality scores where that is due, and flag accounts for review by them.

    Each account in a transaction of its own: scores are locked after accounts elsewhere.
    """
    with audit.asked_by(ACTOR, door="beat"):
        with transaction() as session:
            if quality.is_rescore_due(session):
                quality.rescore_all(session)
            flags = quality.accounts_to_flag(session)
        for account_id in flags:
            with transaction() as session:
                quality.update_flag(session, account_id)
    if flags:
        log.info("accounts under review changed", accounts=len(flags))

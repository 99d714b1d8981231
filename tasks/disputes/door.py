"""The Celery door of lead disputes, and the quality scores on beat.

`open(lead_id, account, dispute_type, description, evidence=None, request_id=None)` disputes one
lead. Any Celery app on the same Redis calls it by name. It returns nothing: the outcome of the call
is its row in the inbox, and the dispute.
"""

from typing import Any

import structlog

from billing import audit
from billing.disputes import quality
from db.session import transaction
from tasks.disputes import calls
from tasks.inbox import recorder
from tasks.plumbing import nudges
from worker.app import app

log = structlog.get_logger()

SCORE_TASK = "tasks.disputes.score"
ACTOR = "system:quality"


# A call must reach us whatever its arguments are: we bind them ourselves.
@app.task(**recorder.door_options(calls.TASK, calls.PARAMETERS))
def open_dispute(self: Any, /, *args: Any, **kwargs: Any) -> None:
    """Record one dispute to open; one that cannot be opened becomes a dead row."""
    recorder.record_or_requeue(calls.read(self.request.id, args, kwargs))
    nudges.send_in_background(calls.SOURCE)


@app.task(name=SCORE_TASK)
def score() -> None:
    """Compute the quality scores if they are due, and flag accounts for review by them.

    Each account in a transaction of its own: elsewhere scores are locked after accounts.
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

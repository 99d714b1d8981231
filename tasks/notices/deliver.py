"""Notices on their way out: what is due is leased, called and finished (bodies follow)."""

from tasks.plumbing import nudges
from worker.app import app


@app.task(name=nudges.NOTICES_TASK)
def deliver() -> None:
    """Send the notices that are due."""
    nudges.acknowledge(nudges.NOTICES)

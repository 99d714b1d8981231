"""Has a process nudge as soon as it committed notices; a sweep repairs what it does not.

Loaded by every worker (`celeryconfig.py`); a server calls `begin` at its start.
"""

from celery.signals import worker_process_init

from db import after_commit
from tasks.plumbing import nudges


@worker_process_init.connect
def begin(**_: object) -> None:
    """Ask for notices to be sent after each commit of this process that wrote some."""
    after_commit.call_on_notices(nudges.send_notices_in_background)

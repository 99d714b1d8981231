"""A run of grants, chunk after chunk, each in a transaction of its own.

For the task and for `billing grants run`; imports no Celery, which takes longer to load than the
command to run.
"""

import time
from collections.abc import Iterator
from datetime import date

from billing.plans import grants
from billing.plans.grants import GrantChunk
from db.session import transaction


def chunks(*, through: date | None, stop_at: float) -> Iterator[GrantChunk]:
    """Yield chunk after chunk, each granted and committed, until none is left or time is up.

    `stop_at` is by the monotonic clock.
    """
    behind = None
    while time.monotonic() < stop_at:
        with transaction() as session:
            chunk = grants.grant_due(session, behind=behind, through=through)
        if chunk.end is None:
            return
        behind = chunk.end
        yield chunk

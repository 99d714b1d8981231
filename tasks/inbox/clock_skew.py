"""The line about senders whose clock is far ahead; `billing/instants.py` has the rule for it."""

from collections.abc import Iterable
from datetime import datetime

import structlog

from billing import instants

log = structlog.get_logger()


def write_to_log(source: str, reports: Iterable[tuple[datetime | None, datetime]]) -> None:
    """Write one line if some of `reports`, each (its time, when it came), are far ahead."""
    ahead = [
        reported - known_at
        for reported, known_at in reports
        if reported is not None and instants.is_far_ahead(reported, known_at=known_at)
    ]
    if ahead:
        log.warning(
            "times ahead",
            source=source,
            reports=len(ahead),
            furthest_seconds=int(max(ahead).total_seconds()),
        )

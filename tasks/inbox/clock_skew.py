"""The line about senders whose clock is far ahead; `billing/instants.py` has the rule for it."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.orm import Session

from billing import instants
from db import after_commit


def report(
    session: Session, source: str, reports: Iterable[tuple[datetime | None, datetime]]
) -> None:
    """Have one line written if some of `reports`, each (its time, when it came), are far ahead.

    After the commit: a batch that is rolled back comes again, in halves.
    """
    ahead = [
        reported - known_at
        for reported, known_at in reports
        if reported is not None and instants.is_far_ahead(reported, known_at=known_at)
    ]
    if ahead:
        after_commit.log_warning(
            session,
            "times ahead",
            source=source,
            reports=len(ahead),
            furthest_seconds=int(max(ahead).total_seconds()),
        )

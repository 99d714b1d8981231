"""Lanes whose process did not end them: killed, hung, or cut off for longer than a lease.

What was in their hands goes out again. The first of it was most likely under way: an attempt is
counted for it, so that a notice that kills its process is dead after ten instead of for ever.
"""

from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from billing.notices import ladder, lines
from db import after_commit
from db.bulk import copy_rows, int_array
from db.models import NoticeEndpoint

NO_RESULT = "no result: the process that called was lost"

_FREE = text("""
UPDATE notice_lanes l SET lease_id = NULL, leased_until = NULL, delivery_ids = '{}'
  FROM (SELECT endpoint_id, number, delivery_ids FROM notice_lanes
         WHERE lease_id IS NOT NULL AND leased_until <= :now
         ORDER BY endpoint_id, number FOR UPDATE) x
 WHERE l.endpoint_id = x.endpoint_id AND l.number = x.number
RETURNING x.endpoint_id, x.delivery_ids[1] AS first
""")
_COUNT = text("""
UPDATE notice_deliveries
   SET attempts = attempts + 1, tries = tries + 1, last_status = NULL, last_error = :error,
       state = CASE WHEN tries + 1 >= :most THEN 'dead' ELSE state END,
       next_attempt_at = CASE WHEN tries + 1 >= :most THEN NULL ELSE next_attempt_at END,
       finished_at = CASE WHEN tries + 1 >= :most THEN CAST(:now AS timestamptz) END
 WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'pending'
RETURNING id, attempts, state, notice_id, endpoint_id, line_account_id
""")


def free_expired(session: Session, *, now: datetime) -> None:
    """Free the lanes whose lease has ended; under the lock of leases."""
    freed = session.execute(_FREE, {"now": now}).all()
    if not freed:
        return
    # Who ends deliveries holds these: fan-out may be putting a notice in line behind one of them.
    session.execute(
        select(NoticeEndpoint.id)
        .where(NoticeEndpoint.id.in_({lane.endpoint_id for lane in freed}))
        .order_by(NoticeEndpoint.id)
        .with_for_update(key_share=True)
    )
    first = int_array(lane.first for lane in freed if lane.first is not None)
    counted = session.execute(
        _COUNT, {"ids": first, "error": NO_RESULT, "most": ladder.MAX_TRIES, "now": now}
    ).all()
    copy_rows(
        session,
        "notice_attempts",
        (
            "delivery_id", "number", "started_at", "duration_ms", "status", "error",
            "response_head",
        ),
        [(row.id, row.attempts, now, 0, None, NO_RESULT, b"") for row in counted],
    )  # fmt: skip
    dead = [row for row in counted if row.state == "dead"]
    lines.advance(
        session,
        [(row.endpoint_id, row.line_account_id) for row in dead if row.line_account_id is not None],
        now=now,
    )
    for row in dead:
        after_commit.log_error(
            session,
            "notice dead",
            notice=f"ntc_{row.notice_id}",
            endpoint=row.endpoint_id,
            attempts=row.attempts,
            reason=NO_RESULT,
        )

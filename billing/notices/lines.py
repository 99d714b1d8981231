"""The lines of ordered endpoints: the notices of one account, one after the other.

The first pending one of a line has a time; those behind it have none, and so are not due. Whoever
ends a delivery or puts one in holds the lock of the endpoint and calls this.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.bulk import int_array

_FIRST = """
SELECT f.id FROM {lines}
  CROSS JOIN LATERAL (
       SELECT id, next_attempt_at FROM notice_deliveries
        WHERE endpoint_id = l.endpoint_id AND line_account_id = l.account_id AND state = 'pending'
        ORDER BY position LIMIT 1) f
 WHERE f.next_attempt_at IS NULL
"""
_ADVANCE = "UPDATE notice_deliveries SET next_attempt_at = :now WHERE id IN ({first})"
_GIVEN = """unnest(CAST(:endpoints AS bigint[]), CAST(:accounts AS bigint[]))
            AS l(endpoint_id, account_id)"""
_ALL = """(SELECT DISTINCT endpoint_id, line_account_id AS account_id FROM notice_deliveries
            WHERE endpoint_id = :endpoint_id AND state = 'pending'
              AND line_account_id IS NOT NULL) l"""
_ADVANCE_GIVEN = text(_ADVANCE.format(first=_FIRST.format(lines=_GIVEN)))
_ADVANCE_ALL = text(_ADVANCE.format(first=_FIRST.format(lines=_ALL)))
# A notice that is replayed may stand before the one whose turn it was.
_STEP_BACK = text("""
UPDATE notice_deliveries d SET next_attempt_at = NULL
 WHERE d.endpoint_id = :endpoint_id AND d.state = 'pending' AND d.line_account_id IS NOT NULL
   AND d.next_attempt_at IS NOT NULL
   AND EXISTS (SELECT FROM notice_deliveries p
                WHERE p.endpoint_id = d.endpoint_id AND p.line_account_id = d.line_account_id
                  AND p.state = 'pending' AND p.position < d.position)
""")


def advance(session: Session, lines: Iterable[tuple[int, int]], *, now: datetime) -> None:
    """Let the first one of each line (endpoint, account) be due, if it is not already."""
    pairs = list(lines)
    if pairs:
        session.execute(
            _ADVANCE_GIVEN,
            {
                "endpoints": int_array(endpoint for endpoint, _ in pairs),
                "accounts": int_array(account for _, account in pairs),
                "now": now,
            },
        )


def straighten(session: Session, endpoint_id: int, *, now: datetime) -> None:
    """Let the first one of every line of an endpoint be due, and no other."""
    session.execute(_STEP_BACK, {"endpoint_id": endpoint_id})
    session.execute(_ADVANCE_ALL, {"endpoint_id": endpoint_id, "now": now})

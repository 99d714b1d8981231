"""What is due, of which endpoint, and in which order: the questions that a lease asks.

Each is one look into an index for each endpoint, however long a backlog is. Called by `leases`,
under its lock.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

import clock
from db.bulk import int_array

MOST_OF_LANE = 50
"""Deliveries."""
MOST_LANES = 2
"""Of an endpoint that works, over all processes; others have one."""


@dataclass(frozen=True, slots=True)
class Due:
    """One delivery to make."""

    delivery_id: int
    notice_id: int
    """`webhook-id` is `ntc_` and this."""
    body: bytes
    attempt_number: int


_DUE = """d.endpoint_id = {endpoint} AND d.state = 'pending' AND d.next_attempt_at <= :now
   AND NOT EXISTS (SELECT FROM notice_lanes l
                    WHERE l.endpoint_id = {endpoint} AND d.id = ANY(l.delivery_ids))"""
# One look into the index for each endpoint: with EXISTS PostgreSQL reads all that is due of all.
_CANDIDATES = text(f"""
SELECT e.id, e.url, e.ordered, e.consecutive_failures > 0 AS troubled, used.lanes
  FROM notice_endpoints e
  CROSS JOIN LATERAL (SELECT count(lease_id) AS lanes FROM notice_lanes l
                       WHERE l.endpoint_id = e.id) used
  CROSS JOIN LATERAL (SELECT FROM notice_deliveries d WHERE {_DUE.format(endpoint="e.id")}
                       LIMIT 1) one_due
 WHERE e.state IN ('on', 'failing') AND (e.lease_until IS NULL OR e.lease_until > :real_now)
   AND (e.paused_until IS NULL OR e.paused_until <= :now)
   AND used.lanes < CASE WHEN e.ordered OR e.consecutive_failures > 0 THEN 1 ELSE {MOST_LANES} END
""")


def find_candidates(
    session: Session, now: datetime, most_lanes: int, most_troubled: int
) -> list[Row[Any]]:
    """Return the endpoints that get a lane now, those that get it first in front."""
    times = {"now": now, "real_now": clock.real_now()}
    rows = list(session.execute(_CANDIDATES, times).all())
    random.shuffle(rows)
    rows.sort(key=lambda row: (row.troubled, row.lanes))
    working = [row for row in rows if not row.troubled]
    troubled = [row for row in rows if row.troubled]
    return [*working, *troubled[:most_troubled]][:most_lanes]


# Behind the first one of its line an ordered lane takes what follows: it is made in this order, and
# nothing is made after a failure.
_ROWS = text(f"""
SELECT w.endpoint_id, d.id, d.notice_id, d.attempts, o.body
  FROM unnest(CAST(:endpoints AS bigint[]), CAST(:limits AS bigint[])) AS w(endpoint_id, most)
  CROSS JOIN LATERAL (
       SELECT d.id, d.notice_id, d.attempts, d.position, d.next_attempt_at
         FROM notice_deliveries d
        WHERE {_DUE.format(endpoint="w.endpoint_id")}
        ORDER BY d.next_attempt_at, d.position LIMIT w.most) d
  JOIN outbox_events o ON o.id = d.notice_id
 ORDER BY w.endpoint_id, d.next_attempt_at, d.position
""")
_ORDERED_ROWS = text(f"""
SELECT h.endpoint_id, f.id, f.notice_id, f.attempts, o.body
  FROM (SELECT d.endpoint_id, d.id, d.line_account_id, d.position, d.next_attempt_at
          FROM notice_deliveries d
         WHERE {_DUE.format(endpoint=":endpoint_id")}
           AND NOT EXISTS (SELECT FROM notice_deliveries p
                            WHERE p.endpoint_id = d.endpoint_id AND p.state = 'pending'
                              AND p.line_account_id = d.line_account_id
                              AND p.position < d.position)
         ORDER BY d.next_attempt_at, d.position LIMIT :most) h
  CROSS JOIN LATERAL (
       SELECT id, notice_id, attempts, position FROM notice_deliveries d WHERE d.id = h.id
        UNION ALL
       (SELECT id, notice_id, attempts, position FROM notice_deliveries d
         WHERE d.endpoint_id = h.endpoint_id AND d.line_account_id = h.line_account_id
           AND d.state = 'pending' AND d.position > h.position
         ORDER BY d.position LIMIT :more)) f
  JOIN outbox_events o ON o.id = f.notice_id
 ORDER BY h.next_attempt_at, h.position, f.position
 LIMIT :most
""")


def find_due(
    session: Session, endpoints: Sequence[Row[Any]], now: datetime, *, twice: bool
) -> dict[int, list[Due]]:
    """Return the next deliveries of each endpoint, in order; `twice`: enough for two lanes."""
    plain = [row for row in endpoints if not row.ordered]
    most = MOST_OF_LANE * 2 if twice else MOST_OF_LANE
    limits = (1 if row.troubled else most for row in plain)
    found = list(
        session.execute(
            _ROWS,
            {
                "endpoints": int_array(row.id for row in plain),
                "limits": int_array(limits),
                "now": now,
            },
        )
    )
    for endpoint in endpoints:
        if endpoint.ordered:
            most = 1 if endpoint.troubled else MOST_OF_LANE
            asked = {"endpoint_id": endpoint.id, "most": most, "more": most - 1, "now": now}
            found += session.execute(_ORDERED_ROWS, asked)
    rows: dict[int, list[Due]] = {}
    for endpoint_id, id_, notice_id, attempts, body in found:
        rows.setdefault(endpoint_id, []).append(Due(id_, notice_id, bytes(body), attempts + 1))
    return rows

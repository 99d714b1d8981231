"""What becomes of endpoints with time, and of what waits for one that is off.

Called by the sweep of `tasks/notices`, in transactions of its own.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Select, select, text
from sqlalchemy.orm import Session

import clock
from billing.notices import health, outcomes, secrets
from db.models import NoticeEndpoint

SKIPPED_AT_ONCE = 1_000


def review_endpoints(session: Session, *, now: datetime) -> bool:
    """Do what is due of endpoints; return whether there is more: call again, in a new transaction.

    Endpoints fail after an hour without success, are off after five days, and listeners end with
    their lease; pending deliveries of what is off or removed are skipped, a bounded number a call.
    """
    _let_time_pass(session, now)
    _end_listeners(session, now)
    return _skip_pending(session, now)


def _let_time_pass(session: Session, now: datetime) -> None:
    failing = select(NoticeEndpoint).where(
        NoticeEndpoint.state.in_(("on", "failing")),
        NoticeEndpoint.first_failure_at <= now - health.FAILING_AFTER,
    )
    for endpoint in _locked(session, failing):
        new = health.after_time(outcomes.health_of(endpoint), at=now)
        outcomes.apply_health(session, endpoint, new, now=now)


def _end_listeners(session: Session, now: datetime) -> None:
    ended = select(NoticeEndpoint).where(
        NoticeEndpoint.state != "removed", NoticeEndpoint.lease_until <= clock.real_now()
    )
    for endpoint in _locked(session, ended):
        endpoint.state, endpoint.state_reason = "removed", "its lease ended"
        secrets.expire(session, endpoint.id, now=now, overlap=timedelta(0))


def _locked(session: Session, query: Select[NoticeEndpoint]) -> Sequence[NoticeEndpoint]:
    """Return the rows; one that is being finished is left to the next review."""
    return session.scalars(
        query.order_by(NoticeEndpoint.id)
        .with_for_update(key_share=True, skip_locked=True)
        .execution_options(populate_existing=True)
    ).all()


_CLOSED = text("""
SELECT e.id FROM notice_endpoints e
 WHERE e.state IN ('off', 'removed')
   AND (EXISTS (SELECT FROM notice_deliveries d WHERE d.endpoint_id = e.id AND d.state = 'pending'
                   AND d.next_attempt_at IS NOT NULL)
     OR EXISTS (SELECT FROM notice_deliveries d WHERE d.endpoint_id = e.id AND d.state = 'pending'
                   AND d.line_account_id IS NOT NULL))
 ORDER BY e.id LIMIT 1
""")
_STILL_CLOSED = text("""
SELECT state, coalesce(state_reason, '') FROM notice_endpoints
 WHERE id = :id AND state IN ('off', 'removed') FOR NO KEY UPDATE
""")
_SKIP = text("""
UPDATE notice_deliveries
   SET state = 'skipped', next_attempt_at = NULL, finished_at = :now, last_error = :reason
 WHERE id IN ((SELECT id FROM notice_deliveries d
                WHERE d.endpoint_id = :id AND d.state = 'pending' AND d.next_attempt_at IS NOT NULL
                LIMIT :most)
              UNION
              (SELECT id FROM notice_deliveries d
                WHERE d.endpoint_id = :id AND d.state = 'pending' AND d.line_account_id IS NOT NULL
                LIMIT :most))
RETURNING id
""")


def _skip_pending(session: Session, now: datetime) -> bool:
    """Skip what waits for one endpoint that is off; return whether there may be more."""
    endpoint_id = session.scalar(_CLOSED)
    if endpoint_id is None:
        return False
    closed = session.execute(_STILL_CLOSED, {"id": endpoint_id}).one_or_none()
    if closed is not None:
        reason = f"{closed[0]}: {closed[1]}"
        values = {"id": endpoint_id, "now": now, "reason": reason, "most": SKIPPED_AT_ONCE}
        session.execute(_SKIP, values)
    return True

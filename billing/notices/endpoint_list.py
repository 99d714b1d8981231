"""Endpoints as people look at them: how each does, and how much waits or was missed.

Handed on by `endpoints` (`notices.endpoints.list_all`). Nothing is written here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import select, text
from sqlalchemy.orm import Session

import clock
from billing.notices import placing, secrets
from billing.notices.errors import UnknownEndpoint
from db.bulk import int_array
from db.models import Account, NoticeEndpoint

State = Literal["on", "failing", "off", "removed"]

COUNTED = 10_000
"""Deliveries of an endpoint are counted up to so many."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint, and how it does."""

    endpoint_id: int
    product: str | None
    account: str | None
    url: str
    description: str
    topics: tuple[str, ...]
    ordered: bool
    state: State
    state_reason: str | None
    first_failure_at: datetime | None
    consecutive_failures: int
    last_success_at: datetime | None
    paused_until: datetime | None
    lease_until: datetime | None
    created_at: datetime
    created_by: str
    pending: int
    """Deliveries that wait, counted up to `COUNTED`."""
    missed: int
    """Dead and skipped ones but tests, counted up to `COUNTED`."""
    oldest_pending_at: datetime | None
    """When the oldest of them was written."""
    secrets: int
    """That sign now: two during a rotation."""


def get(session: Session, endpoint_id: int) -> Endpoint:
    """Return an endpoint that was not removed. Raises `UnknownEndpoint`."""
    found = _list(session, NoticeEndpoint.id == endpoint_id)
    if not found:
        raise UnknownEndpoint(endpoint_id)
    return found[0]


def list_all(session: Session, *, product: str | None = None) -> list[Endpoint]:
    """Return the endpoints that were not removed, oldest first."""
    return _list(session, *([NoticeEndpoint.product == product] if product is not None else []))


_COUNTS = text(f"""
SELECT e.id, p.waiting + w.waiting AS pending, m.missed, least(p.oldest, w.oldest) AS oldest
  FROM unnest(CAST(:ids AS bigint[])) AS e(id)
  CROSS JOIN LATERAL (
       SELECT count(*) AS waiting, min(created_at) AS oldest FROM (
              SELECT d.created_at FROM notice_deliveries d
               WHERE d.endpoint_id = e.id AND d.state = 'pending' AND d.next_attempt_at IS NOT NULL
               LIMIT {COUNTED}) x) p
  CROSS JOIN LATERAL (
       SELECT count(*) AS waiting, min(created_at) AS oldest FROM (
              SELECT d.created_at FROM notice_deliveries d
               WHERE d.endpoint_id = e.id AND d.state = 'pending' AND d.line_account_id IS NOT NULL
                 AND d.next_attempt_at IS NULL LIMIT {COUNTED}) x) w
  CROSS JOIN LATERAL (
       SELECT count(*) AS missed FROM (
              SELECT FROM notice_deliveries d
               WHERE d.endpoint_id = e.id AND d.state IN ('dead', 'skipped')
                 AND NOT {placing.IS_A_TEST} LIMIT {COUNTED}) x) m
""")  # noqa: S608 - a constant


def _list(session: Session, *conditions: Any) -> list[Endpoint]:
    now = clock.now()
    rows = session.execute(
        select(NoticeEndpoint, Account.ref)
        .outerjoin(Account, Account.id == NoticeEndpoint.account_id)
        .where(*placing.exists(), *conditions)
        .order_by(NoticeEndpoint.id)
        .execution_options(populate_existing=True)
    ).all()
    ids = [row.id for row, _ in rows]
    counts: Mapping[int, Any] = {
        found.id: found for found in session.execute(_COUNTS, {"ids": int_array(ids)})
    }
    known = secrets.signing_now(session, ids, now=now)
    return [
        Endpoint(
            endpoint_id=row.id,
            product=row.product,
            account=ref,
            url=row.url,
            description=row.description,
            topics=tuple(row.topics),
            ordered=row.ordered,
            state=cast(State, row.state),
            state_reason=row.state_reason,
            first_failure_at=row.first_failure_at,
            consecutive_failures=row.consecutive_failures,
            last_success_at=row.last_success_at,
            paused_until=row.paused_until,
            lease_until=row.lease_until,
            created_at=row.created_at,
            created_by=row.created_by,
            pending=counts[row.id].pending,
            missed=counts[row.id].missed,
            oldest_pending_at=counts[row.id].oldest,
            secrets=len(known.get(row.id, ())),
        )
        for row, ref in rows
    ]

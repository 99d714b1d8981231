"""Leases: which deliveries are made now, by whom, and how many at once to one endpoint.

A lane is one thread of one process that makes deliveries to one endpoint, one after the other. An
endpoint has two over all processes; one, if it is ordered or its last call failed. A lane's row
(`notice_lanes`) holds the deliveries in its hands; a lane that its process did not end in time is
free again, and its deliveries go out again under the same id and body.

Fair: every endpoint with something due gets its first lane before any gets its second, those that
work before those in trouble, else at random; however long a backlog is, it is one endpoint's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from billing.notices import lost, secrets
from billing.notices.due import MOST_OF_LANE, Due, find_candidates, find_due
from db import after_commit
from db.bulk import int_array, text_array
from errors import PermanentError

LEASE = timedelta(seconds=60)
"""A lane that is not finished after this is taken from its process."""
LONGEST_CALL = timedelta(seconds=20)
"""More than one call may take, its answer written: no call of a lane begins this late."""
FEW = 8
"""So few are no work for two lanes."""
UNREADABLE_PAUSE = timedelta(minutes=1)
"""How long an endpoint is left alone whose secret cannot be decrypted."""

_LOCK = text("SELECT pg_advisory_xact_lock(7100404)")
"""Any fixed number: leases are given one at a time, so that each sees all others."""


def lock_leases(session: Session, *, now: datetime) -> None:
    """Lock the giving of leases to the end of the transaction, and free the lanes that were lost.

    Who locks an endpoint too does that afterwards.
    """
    session.execute(_LOCK)
    lost.free_expired(session, now=now)


@dataclass(frozen=True, slots=True)
class Lane:
    """Deliveries to one endpoint, to be made one after the other, in this order, until one fails.

    Whoever leased it finishes each or gives it back; after a failure the rest is given back, and so
    is what was not begun by `start_until`.
    """

    endpoint_id: int
    url: str
    secrets: tuple[str, ...] = field(repr=False)
    """Newest first; each of them signs."""
    lease_id: UUID
    leased_until: datetime
    start_until: datetime
    """No call begins later."""
    ordered: bool
    troubled: bool
    """The last call to this endpoint failed."""
    deliveries: Sequence[Due]


def lease(
    session: Session, *, now: datetime, most_lanes: int, most_troubled: int | None = None
) -> list[Lane]:
    """Lease due deliveries in up to `most_lanes` lanes; commit before calling.

    `most_troubled`: so many of the lanes at most are of endpoints whose last call failed; each may
    cost a thread the 15 s of a hanging call. Default: half of `most_lanes`, at least one.
    """
    if most_lanes < 1:
        return []
    if most_troubled is None:
        most_troubled = max(1, most_lanes // 2)
    lock_leases(session, now=now)
    candidates = find_candidates(session, now, most_lanes, most_troubled)
    known = _secrets(session, [row.id for row in candidates], now)
    candidates = [row for row in candidates if row.id in known]
    return _take(session, candidates, known, now, most_lanes)


_GIVE_BACK = text("""
UPDATE notice_lanes
   SET delivery_ids = rest.ids,
       lease_id = CASE WHEN rest.ids = '{}' THEN NULL ELSE lease_id END,
       leased_until = CASE WHEN rest.ids = '{}' THEN NULL ELSE leased_until END
  FROM (SELECT endpoint_id, number,
               ARRAY(SELECT i FROM unnest(delivery_ids) WITH ORDINALITY AS u(i, n)
                      WHERE i <> ALL(CAST(:ids AS bigint[])) ORDER BY n) AS ids
          FROM notice_lanes WHERE lease_id = :lease_id FOR UPDATE) rest
 WHERE notice_lanes.endpoint_id = rest.endpoint_id AND notice_lanes.number = rest.number
""")


def give_back(session: Session, lease_id: UUID, delivery_ids: Sequence[int]) -> None:
    """Give back deliveries of a lane that were not attempted: they are due as before."""
    session.execute(_GIVE_BACK, {"lease_id": lease_id, "ids": int_array(delivery_ids)})


_PAUSE = text("""
UPDATE notice_endpoints SET paused_until = :until WHERE id = :id
""")


def _secrets(session: Session, ids: list[int], now: datetime) -> dict[int, tuple[str, ...]]:
    """Return the secrets of each endpoint; one whose secrets cannot be read is left alone.

    Nothing is sent unsigned, and it is no failure of the endpoint.
    """
    encrypted = secrets.signing_now(session, ids, now=now)
    known = {}
    for endpoint_id in ids:
        try:
            found = secrets.decrypted(encrypted.get(endpoint_id, ()))
        except PermanentError:
            found = ()
        if found:
            known[endpoint_id] = found
        else:
            session.execute(_PAUSE, {"id": endpoint_id, "until": now + UNREADABLE_PAUSE})
            after_commit.log_error(session, "endpoint secret unreadable", endpoint=endpoint_id)
    return known


def _take(
    session: Session,
    candidates: Sequence[Row[Any]],
    known: dict[int, tuple[str, ...]],
    now: datetime,
    most_lanes: int,
) -> list[Lane]:
    spare = most_lanes - len(candidates)
    rows = find_due(session, candidates, now, twice=spare > 0)
    free = _free_lanes(session, [row.id for row in candidates])
    lanes: list[tuple[Lane, int]] = []
    for endpoint in candidates:
        due = rows.get(endpoint.id, [])
        shares = [due[:MOST_OF_LANE]]
        if spare and len(free[endpoint.id]) > 1 and _may_have_two(endpoint) and len(due) > FEW:
            shares = [due[::2][:MOST_OF_LANE], due[1::2][:MOST_OF_LANE]]
            spare -= 1
        lanes += [
            (_lane(endpoint, known[endpoint.id], share, now, troubled=endpoint.troubled), number)
            for share, number in zip(shares, free[endpoint.id], strict=False)
            if share
        ]
    _write(session, lanes)
    return [lane for lane, _ in lanes]


def _may_have_two(endpoint: Row[Any]) -> bool:
    return not endpoint.ordered and not endpoint.troubled and endpoint.lanes == 0


_FREE = text("""
SELECT endpoint_id, number FROM notice_lanes
 WHERE endpoint_id = ANY(CAST(:ids AS bigint[])) AND lease_id IS NULL
 ORDER BY endpoint_id, number
""")


def _free_lanes(session: Session, endpoint_ids: Iterable[int]) -> dict[int, list[int]]:
    ids = list(endpoint_ids)
    free: dict[int, list[int]] = {endpoint_id: [] for endpoint_id in ids}
    for endpoint_id, number in session.execute(_FREE, {"ids": int_array(ids)}):
        free[endpoint_id].append(number)
    return free


def _lane(
    endpoint: Any,
    known: tuple[str, ...],
    deliveries: Sequence[Due],
    now: datetime,
    *,
    troubled: bool,
) -> Lane:
    return Lane(
        endpoint_id=endpoint.id,
        url=endpoint.url,
        secrets=known,
        lease_id=uuid4(),
        leased_until=now + LEASE,
        start_until=now + LEASE - LONGEST_CALL,
        ordered=endpoint.ordered,
        troubled=troubled,
        deliveries=deliveries,
    )


_TAKE = text("""
UPDATE notice_lanes l
   SET lease_id = CAST(n.lease_id AS uuid), leased_until = :until,
       delivery_ids = CAST(n.ids AS bigint[])
  FROM unnest(CAST(:endpoints AS bigint[]), CAST(:numbers AS bigint[]),
              CAST(:leases AS text[]), CAST(:ids AS text[])) AS n(endpoint_id, number, lease_id, ids)
 WHERE l.endpoint_id = n.endpoint_id AND l.number = n.number
""")  # noqa: E501 - one line of SQL


def _write(session: Session, lanes: Sequence[tuple[Lane, int]]) -> None:
    if not lanes:
        return
    session.execute(
        _TAKE,
        {
            "endpoints": int_array(lane.endpoint_id for lane, _ in lanes),
            "numbers": int_array(number for _, number in lanes),
            "leases": text_array(str(lane.lease_id) for lane, _ in lanes),
            "ids": text_array(
                int_array(due.delivery_id for due in lane.deliveries) for lane, _ in lanes
            ),
            "until": lanes[0][0].leased_until,
        },
    )


def take_lane(
    session: Session, endpoint: Any, known: tuple[str, ...], due: Due, *, now: datetime
) -> Lane | None:
    """Take a free lane of any endpoint for one delivery; None if there is none. For a test.

    The caller holds the lock of leases.
    """
    free = _free_lanes(session, [endpoint.id])[endpoint.id]
    if not free:
        return None
    lane = _lane(endpoint, known, [due], now, troubled=endpoint.consecutive_failures > 0)
    _write(session, [(lane, free[-1])])
    return lane

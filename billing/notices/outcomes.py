"""What a call makes of a delivery and of its endpoint.

A success ends the delivery. A failure puts it on the next rung of the ladder, or ends it as dead
after the last one; a delivery of an endpoint that is off or removed is skipped, to be replayed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from billing.notices import health, ladder, lines, urls
from billing.notices.answers import HEAD_BYTES, Answer, Attempted
from billing.notices.health import Health
from billing.topics import Topic
from db import after_commit, outbox
from db.bulk import copy_rows, int_array, text_array, time_array
from db.models import NoticeEndpoint
from db.outbox import NewNotice

SUCCESS_NOTED_EVERY = timedelta(seconds=5)
"""How exact the last success of an endpoint that works is known: a batch is spared its row."""


@dataclass(slots=True)
class _Delivery:
    """The row of a delivery, as this transaction changes it."""

    id: int
    notice_id: int
    endpoint_id: int
    line_account_id: int | None
    topic: str
    request_id: str | None
    state: str
    attempts: int
    tries: int
    next_attempt_at: datetime | None = None
    status: int | None = None
    error: str | None = None


def finish(session: Session, results: Sequence[Attempted], *, now: datetime) -> None:
    """Write what came of calls, of any number of lanes, each in the order of its calls.

    Log lines (`notice delivered|failed|dead`, `endpoint off`) are written after the commit. A
    result whose lease has ended is dropped: its delivery goes out again, and may be out already.
    """
    owned, endpoint_ids = _take_from_lanes(session, results)
    if not owned:
        return
    # Before the deliveries are read: whoever else ends them holds these locks.
    endpoints = _lock_endpoints(session, endpoint_ids)
    deliveries = _load(session, owned)
    for result in owned:
        delivery = deliveries[result.delivery_id]
        _judge(session, delivery, endpoints[delivery.endpoint_id], result, now)
    _write_attempts(session, owned, deliveries)
    _write(session, list(deliveries.values()), now)
    lines.advance(
        session,
        {
            (d.endpoint_id, d.line_account_id)
            for d in deliveries.values()
            if d.line_account_id is not None and d.state != "pending"
        },
        now=now,
    )


def apply_health(session: Session, endpoint: NoticeEndpoint, new: Health, *, now: datetime) -> None:
    """Write how an endpoint does, and notify operators if it began to fail or went off."""
    was = endpoint.state
    for name in Health.__slots__:
        value = getattr(new, name)
        if name == "last_success_at" and was == new.state and not endpoint.consecutive_failures:
            before = endpoint.last_success_at
            if before and value and value - before < SUCCESS_NOTED_EVERY:
                continue
        if getattr(endpoint, name) != value:
            setattr(endpoint, name, value)
    if was == new.state:
        return
    host = urls.host_of(endpoint.url)
    fields = {"endpoint": endpoint.id, "host": host, "reason": new.state_reason}
    if new.state == "on":
        after_commit.log_info(session, "endpoint on", endpoint=endpoint.id, host=host)
        return
    topic = Topic.ENDPOINT_OFF if new.state == "off" else Topic.ENDPOINT_FAILING
    if new.state == "off":
        after_commit.log_error(session, "endpoint off", **fields)
    else:
        after_commit.log_warning(session, "endpoint failing", **fields)
    payload = {
        "endpoint_id": endpoint.id,
        "host": host,
        "product": endpoint.product,
        "reason": new.state_reason,
    }
    outbox.write(session, [NewNotice(topic, f"endpoint:{endpoint.id}", None, payload)], now=now)


def health_of(endpoint: NoticeEndpoint) -> Health:
    """Return how an endpoint does, as its row has it."""
    return Health(**{name: getattr(endpoint, name) for name in Health.__slots__})


_LANES = text("""
SELECT endpoint_id, number, lease_id, delivery_ids FROM notice_lanes
 WHERE lease_id = ANY(CAST(:leases AS uuid[])) ORDER BY endpoint_id, number FOR UPDATE
""")
_SHRINK = text("""
UPDATE notice_lanes l
   SET delivery_ids = CAST(n.ids AS bigint[]),
       lease_id = CASE WHEN n.ids = '{}' THEN NULL ELSE l.lease_id END,
       leased_until = CASE WHEN n.ids = '{}' THEN NULL ELSE l.leased_until END
  FROM unnest(CAST(:endpoints AS bigint[]), CAST(:numbers AS bigint[]), CAST(:ids AS text[]))
       AS n(endpoint_id, number, ids)
 WHERE l.endpoint_id = n.endpoint_id AND l.number = n.number
""")


def _take_from_lanes(
    session: Session, results: Sequence[Attempted]
) -> tuple[list[Attempted], set[int]]:
    """Take the deliveries out of their lanes.

    Returns the results of those that were in them, and the endpoints.
    """
    leases = sorted({str(result.lease_id) for result in results})
    lanes = session.execute(_LANES, {"leases": text_array(leases)}).all()
    held = {lane.lease_id: set(lane.delivery_ids) for lane in lanes}
    owned = [r for r in results if r.delivery_id in held.get(r.lease_id, ())]
    over = {r.delivery_id for r in owned}
    rest = [[id_ for id_ in lane.delivery_ids if id_ not in over] for lane in lanes]
    if lanes:
        session.execute(
            _SHRINK,
            {
                "endpoints": int_array(lane.endpoint_id for lane in lanes),
                "numbers": int_array(lane.number for lane in lanes),
                "ids": text_array(int_array(ids) for ids in rest),
            },
        )
    return owned, {lane.endpoint_id for lane in lanes}


_LOAD = text("""
SELECT d.id, d.notice_id, d.endpoint_id, d.line_account_id, o.topic, o.request_id, d.state,
       d.attempts, d.tries
  FROM notice_deliveries d JOIN outbox_events o ON o.id = d.notice_id
 WHERE d.id = ANY(CAST(:ids AS bigint[]))
""")


def _load(session: Session, owned: Sequence[Attempted]) -> Mapping[int, _Delivery]:
    rows = session.execute(_LOAD, {"ids": int_array(result.delivery_id for result in owned)})
    return {row.id: _Delivery(*row) for row in rows}


def _lock_endpoints(session: Session, ids: set[int]) -> Mapping[int, NoticeEndpoint]:
    rows = session.scalars(
        select(NoticeEndpoint)
        .where(NoticeEndpoint.id.in_(ids))
        .order_by(NoticeEndpoint.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return {row.id: row for row in rows}


def _judge(
    session: Session,
    delivery: _Delivery,
    endpoint: NoticeEndpoint,
    result: Attempted,
    now: datetime,
) -> None:
    answer = result.answer
    delivery.attempts += 1
    delivery.tries += 1
    delivery.status, delivery.error = answer.status, answer.error
    is_test = delivery.topic == Topic.ENDPOINT_TEST
    before = health_of(endpoint)
    if answer.is_success:
        delivery.state, delivery.error = "done", None
        after = health.after_success(before, at=now)
    else:
        delivery.error = answer.error or f"answered {answer.status}"
        after = health.after_failure(before, answer, at=now)
    if not is_test:
        apply_health(session, endpoint, after, now=now)
    if not answer.is_success:
        _fail(delivery, answer, after, now, is_test=is_test)
    _log(session, delivery, result)


def _fail(
    delivery: _Delivery, answer: Answer, endpoint: Health, now: datetime, *, is_test: bool
) -> None:
    wait = ladder.wait_after(delivery.tries, retry_after=answer.retry_after)
    if is_test or (wait is None and endpoint.is_open):
        delivery.state = "dead"
    elif not endpoint.is_open or wait is None:
        delivery.state = "skipped"
        delivery.error = f"{endpoint.state}: {endpoint.state_reason} (last: {delivery.error})"
    else:
        delivery.state, delivery.next_attempt_at = "pending", now + wait


_WRITE = text("""
UPDATE notice_deliveries d
   SET state = n.state, attempts = n.attempts, tries = n.tries, next_attempt_at = n.next_at,
       last_status = n.status, last_error = n.error,
       finished_at = CASE WHEN n.state = 'pending' THEN NULL ELSE CAST(:now AS timestamptz) END
  FROM unnest(CAST(:ids AS bigint[]), CAST(:states AS text[]), CAST(:attempts AS bigint[]),
              CAST(:tries AS bigint[]), CAST(:next_ats AS timestamptz[]),
              CAST(:statuses AS bigint[]), CAST(:errors AS text[]))
       AS n(id, state, attempts, tries, next_at, status, error)
 WHERE d.id = n.id
""")


def _write(session: Session, deliveries: Sequence[_Delivery], now: datetime) -> None:
    session.execute(
        _WRITE,
        {
            "ids": int_array(d.id for d in deliveries),
            "states": text_array(d.state for d in deliveries),
            "attempts": int_array(d.attempts for d in deliveries),
            "tries": int_array(d.tries for d in deliveries),
            "next_ats": time_array(d.next_attempt_at for d in deliveries),
            "statuses": int_array(d.status for d in deliveries),
            "errors": text_array(d.error for d in deliveries),
            "now": now,
        },
    )


def _write_attempts(
    session: Session, owned: Sequence[Attempted], deliveries: Mapping[int, _Delivery]
) -> None:
    rows = [
        (
            delivery.id,
            delivery.attempts,
            result.started_at,
            result.answer.duration_ms,
            result.answer.status,
            None if result.answer.is_success else delivery.error,
            result.answer.head[:HEAD_BYTES],
        )
        for result in owned
        for delivery in [deliveries[result.delivery_id]]
    ]
    copy_rows(
        session,
        "notice_attempts",
        (
            "delivery_id", "number", "started_at", "duration_ms", "status", "error",
            "response_head",
        ),
        rows,
    )  # fmt: skip


def _log(session: Session, delivery: _Delivery, result: Attempted) -> None:
    fields: dict[str, Any] = {
        "notice": f"ntc_{delivery.notice_id}",
        "topic": delivery.topic,
        "endpoint": delivery.endpoint_id,
        "attempt": delivery.attempts,
        "status": delivery.status,
        "duration_ms": result.answer.duration_ms,
        "request_id": delivery.request_id,
    }
    if delivery.state == "done":
        after_commit.log_info(session, "notice delivered", **fields)
    elif delivery.state == "dead":
        after_commit.log_error(session, "notice dead", reason=delivery.error, **fields)
    else:
        after_commit.log_warning(session, "notice failed", reason=delivery.error, **fields)

"""Fan-out: each notice gets its place, its bytes, and a row for everyone who is to have it.

A notice is written by the transaction that made it true, with an id that says nothing about the
order of the commits. Its place is given afterwards, under one lock: positions have no gap and rise
in the order in which batches commit, so a reader who has seen position n will never find a new one
below. Called by `tasks/notices`, in a transaction of its own that does nothing else.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, or_, select, text
from sqlalchemy.orm import Session

import clock
from billing import topics
from billing.notices import mails
from billing.notices.placed import PlacedNotice
from billing.topics import Topic
from db.bulk import bytes_array, copy_rows, int_array, text_array
from db.models import NoticeEndpoint

BATCH_SIZE = 500
IS_A_TEST = (
    "EXISTS (SELECT FROM outbox_events o"
    f" WHERE o.id = d.notice_id AND o.topic = '{Topic.ENDPOINT_TEST}')"
)
"""In SQL: the delivery `d` is a test of an endpoint, which nobody misses and nobody replays."""


@dataclass(frozen=True, slots=True)
class FanOut:
    """What one fan-out did."""

    placed: int
    """Notices that were given their position."""
    more: bool
    """Whether there is more to place: call again, in a new transaction."""
    mails: int = 0
    """Mails that it made due."""


NOTHING = FanOut(0, more=False)

_ANY_UNPLACED = text("""
SELECT EXISTS (SELECT FROM outbox_events
                WHERE position IS NULL AND superseded_at IS NULL AND topic = ANY(:known))
""")
# A topic that this version does not know is left to the newer one that wrote it.
_UNPLACED = text("""
SELECT o.id, o.topic, o.subject, o.account_id, o.payload, o.created_at, a.ref, a.product
  FROM outbox_events o LEFT JOIN accounts a ON a.id = o.account_id
 WHERE o.position IS NULL AND o.superseded_at IS NULL AND o.topic = ANY(:known)
 ORDER BY o.id LIMIT :limit
""")


def fan_out(session: Session, *, now: datetime) -> FanOut:
    """Give up to 500 notices their position and write what is due of them: deliveries and mails.

    Two at once wait for each other: the second one sees what the first has committed.
    """
    known = [str(topic) for topic in Topic]
    if not session.scalar(_ANY_UNPLACED, {"known": known}):
        return NOTHING
    last = lock_positions(session)
    rows = session.execute(_UNPLACED, {"known": known, "limit": BATCH_SIZE}).all()
    if not rows:
        return NOTHING
    sequences = _next_sequences(session, Counter(r.account_id for r in rows if r.account_id))
    placed = [
        PlacedNotice(
            notice_id=row.id,
            position=position,
            topic=Topic(row.topic),
            subject=row.subject,
            account_id=row.account_id,
            account=row.ref,
            product=row.product or topics.product_without_account(Topic(row.topic)),
            sequence=None if row.account_id is None else next(sequences[row.account_id]),
            created_at=row.created_at,
            payload=row.payload,
        )
        for position, row in enumerate(rows, start=last + 1)
    ]
    _write_places(session, placed)
    _write_deliveries(session, placed, now)
    written = mails.of_notices(session, placed, now=now)
    return FanOut(len(placed), more=len(rows) == BATCH_SIZE, mails=written)


_LOCK = text("SELECT last FROM notice_positions FOR UPDATE")


def lock_positions(session: Session) -> int:
    """Lock the giving of positions to the end of the transaction; return the last one given."""
    return int(session.execute(_LOCK).scalar_one())


def body_of(notice: PlacedNotice) -> bytes:
    """Return what is sent of a notice, to everyone and at every attempt.

    The specification's form: type, timestamp and data, without blanks.
    """
    data = topics.data_of(
        notice.topic, notice.payload, account=notice.account, sequence=notice.sequence
    )
    timestamp = notice.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    message = {"type": str(notice.topic), "timestamp": timestamp, "data": data}
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


_SEQUENCES = text("""
INSERT INTO notice_sequences AS s (account_id, last)
SELECT * FROM unnest(CAST(:accounts AS bigint[]), CAST(:counts AS bigint[]))
    ON CONFLICT (account_id) DO UPDATE SET last = s.last + excluded.last
RETURNING account_id, last
""")


def _next_sequences(session: Session, counts: Mapping[int, int]) -> dict[int, Iterator[int]]:
    """Return for each account the numbers of its next notices."""
    if not counts:
        return {}
    given = session.execute(
        _SEQUENCES, {"accounts": int_array(counts), "counts": int_array(counts.values())}
    )
    return {account: iter(range(last - counts[account] + 1, last + 1)) for account, last in given}


_PLACE = text("""
UPDATE outbox_events o
   SET position = n.position, sequence = n.sequence, product = n.product, body = n.body
  FROM unnest(CAST(:ids AS bigint[]), CAST(:positions AS bigint[]), CAST(:sequences AS bigint[]),
              CAST(:products AS text[]), CAST(:bodies AS bytea[]))
       AS n(id, position, sequence, product, body)
 WHERE o.id = n.id
""")
_LAST = text("UPDATE notice_positions SET last = :last")


def _write_places(session: Session, placed: Sequence[PlacedNotice]) -> None:
    session.execute(
        _PLACE,
        {
            "ids": int_array(n.notice_id for n in placed),
            "positions": int_array(n.position for n in placed),
            "sequences": int_array(n.sequence for n in placed),
            "products": text_array(n.product for n in placed),
            "bodies": bytes_array(body_of(n) for n in placed),
        },
    )
    session.execute(_LAST, {"last": placed[-1].position})


_COLUMNS = (
    "notice_id",
    "endpoint_id",
    "position",
    "line_account_id",
    "state",
    "next_attempt_at",
    "last_error",
    "created_at",
    "finished_at",
)


def _write_deliveries(session: Session, placed: Sequence[PlacedNotice], now: datetime) -> None:
    endpoints = _endpoints(session)
    wanted = [
        (notice, endpoint)
        for notice in placed
        for endpoint in endpoints
        if is_for(notice, endpoint) and notice.created_at >= endpoint.created_at
    ]
    in_line = _waiting_lines(session, wanted)
    rows = []
    for notice, endpoint in wanted:
        line = notice.account_id if endpoint.ordered else None
        if endpoint.state == "off":
            # Kept, so that a later replay is exact.
            rows.append(_row(notice, endpoint, line, now, skipped=f"off: {endpoint.state_reason}"))
            continue
        waits = (endpoint.id, line) in in_line
        rows.append(_row(notice, endpoint, line, now, next_attempt_at=None if waits else now))
        if line is not None:
            in_line.add((endpoint.id, line))
    copy_rows(session, "notice_deliveries", _COLUMNS, rows)


def is_for(notice: PlacedNotice, endpoint: NoticeEndpoint) -> bool:
    """Return whether the endpoint is to be sent the notice, whatever their times."""
    if notice.topic is Topic.ENDPOINT_TEST:
        return False  # `testing` writes its one delivery itself
    return is_within_reach(notice, endpoint) and topics.selects(endpoint.topics, notice.topic)


def is_within_reach(notice: PlacedNotice, endpoint: NoticeEndpoint) -> bool:
    """Return whether the notice concerns the endpoint's product and account, and platforms."""
    return (
        notice.topic in topics.PLATFORM_TOPICS
        and endpoint.product in {None, notice.product}
        and endpoint.account_id in {None, notice.account_id}
    )


def _endpoints(session: Session) -> Sequence[NoticeEndpoint]:
    """Return the endpoints that notices are written for; ordered ones are locked.

    Whoever finishes a delivery of an ordered endpoint locks it too: none can be put in line behind
    a notice that is being finished, where nobody would find it.
    """
    # Also one that is off: it may be switched on before it is read below.
    ordered = select(NoticeEndpoint.id).where(
        NoticeEndpoint.ordered, NoticeEndpoint.state != "removed"
    )
    session.execute(ordered.order_by(NoticeEndpoint.id).with_for_update(key_share=True)).all()
    return session.scalars(
        select(NoticeEndpoint)
        .where(*exists())
        .order_by(NoticeEndpoint.id)
        .execution_options(populate_existing=True)
    ).all()


def exists() -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that an endpoint was not removed, and a listener's lease is not over.

    The lease is in real time: it is held by a program that runs now, whatever our clock says.
    """
    lease = NoticeEndpoint.lease_until
    return NoticeEndpoint.state != "removed", or_(lease.is_(None), lease > clock.real_now())


_WAITING = text("""
SELECT n.endpoint_id, n.account_id
  FROM unnest(CAST(:endpoints AS bigint[]), CAST(:accounts AS bigint[])) AS n(endpoint_id, account_id)
 WHERE EXISTS (SELECT FROM notice_deliveries d
                WHERE d.endpoint_id = n.endpoint_id AND d.line_account_id = n.account_id
                  AND d.state = 'pending')
""")  # noqa: E501 - one line of SQL


def _waiting_lines(
    session: Session, wanted: Sequence[tuple[PlacedNotice, NoticeEndpoint]]
) -> set[tuple[int, int | None]]:
    """Return the ordered endpoints and accounts for which a notice waits already."""
    lines = {
        (endpoint.id, notice.account_id)
        for notice, endpoint in wanted
        if endpoint.ordered and notice.account_id is not None
    }
    if not lines:
        return set()
    found = session.execute(
        _WAITING,
        {
            "endpoints": int_array(endpoint for endpoint, _ in lines),
            "accounts": int_array(account for _, account in lines if account is not None),
        },
    )
    return {(endpoint, account) for endpoint, account in found}


def _row(
    notice: PlacedNotice,
    endpoint: NoticeEndpoint,
    line: int | None,
    now: datetime,
    *,
    next_attempt_at: datetime | None = None,
    skipped: str | None = None,
) -> tuple[Any, ...]:
    state, finished_at = ("pending", None) if skipped is None else ("skipped", now)
    return (
        notice.notice_id, endpoint.id, notice.position, line, state, next_attempt_at, skipped, now,
        finished_at,
    )  # fmt: skip

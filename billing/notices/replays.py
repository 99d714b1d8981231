"""Replays: deliveries that ended, or never were, made again under the same id and body.

Somebody asks for them, by one notice or by what was missed. They begin the ladder anew; their
attempts are counted on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Select, select, text
from sqlalchemy.orm import Session

import clock
from billing import accounts, audit, topics
from billing.errors import UnknownAccount
from billing.notices import endpoints, lines, placing
from billing.notices.errors import EndpointIsOff, NotPlacedYet, UnknownNotice
from billing.notices.placed import PlacedNotice
from billing.topics import Topic
from db.bulk import int_array
from db.models import Account, NoticeDelivery, NoticeEndpoint, OutboxEvent


@dataclass(frozen=True, slots=True)
class Missed:
    """Which deliveries are meant; what is None does not narrow."""

    states: tuple[Literal["dead", "skipped", "done"], ...] = ("dead", "skipped")
    since: datetime | None = None
    """Of notices that were written at or after this time."""
    until: datetime | None = None
    topics: tuple[str, ...] = ()
    """Exact names or patterns."""
    account: str | None = None
    finished_before: datetime | None = None
    """Of deliveries that were finished before this time: a loop of batches that names its beginning
    does not take again what was replayed and is done meanwhile."""


def replay(
    session: Session,
    *,
    notice_id: int | None = None,
    missed: Missed | None = None,
    endpoint_id: int | None = None,
    dry_run: bool,
    limit: int | None = None,
) -> int:
    """Have deliveries made again under the same id and body, and return how many.

    Either one notice, in whatever state its deliveries are, or those that `missed` means; at every
    endpoint, or at one. With a notice and an endpoint that never was sent it (it is newer, or wants
    other topics), the delivery is written, if the notice is of its product and account.
    `dry_run`: only count. `limit`: at most so many, the oldest first, so that a caller commits many
    in portions. Endpoints that are off or removed are left out; what is pending is on its way.

    Raises `UnknownNotice`, `NotPlacedYet`, `UnknownEndpoint`, `EndpointIsOff` for a named endpoint,
    `UnknownAccount`, `billing.topics.UnknownTopic`.
    """
    named = None if endpoint_id is None else _open_endpoint(session, endpoint_id)
    notice = None if notice_id is None else _notice(session, notice_id)
    if notice is not None:
        new = [] if named is None else _never_written(session, notice, named)
        query = _of_notice(notice.notice_id, endpoint_id)
    else:
        new = []
        query = _of_missed(session, missed or Missed(), endpoint_id)
    if limit is not None:
        query = query.limit(limit)
    if dry_run:
        return len(new) + len(session.execute(query).all())
    now = clock.now()
    _lock(session, query, endpoint_id)
    found = session.execute(query).all()
    _write_new(session, notice, new, now)
    _make_pending(session, [row.id for row in found], now)
    for ordered in sorted({row.endpoint_id for row in found if row.ordered}):
        lines.straighten(session, ordered, now=now)
    count = len(new) + len(found)
    if count:
        _record(session, notice_id, missed, endpoint_id, count)
    return count


def _open_endpoint(session: Session, endpoint_id: int) -> NoticeEndpoint:
    row = endpoints.lock(session, endpoint_id)
    if row.state == "off":
        raise EndpointIsOff(endpoint_id, row.state_reason)
    return row


def _notice(session: Session, notice_id: int) -> PlacedNotice:
    row = session.execute(
        select(OutboxEvent, Account.ref)
        .outerjoin(Account, Account.id == OutboxEvent.account_id)
        .where(OutboxEvent.id == notice_id)
    ).one_or_none()
    if row is None:
        raise UnknownNotice(notice_id)
    event, ref = row
    if event.position is None:
        raise NotPlacedYet(notice_id)
    return PlacedNotice(
        event.id, event.position, Topic(event.topic), event.subject, event.account_id, ref,
        event.product, event.sequence, event.created_at, event.payload,
    )  # fmt: skip


def _never_written(
    session: Session, notice: PlacedNotice, endpoint: NoticeEndpoint
) -> list[NoticeEndpoint]:
    if not placing.is_within_reach(notice, endpoint) or notice.topic is Topic.ENDPOINT_TEST:
        return []
    known = select(NoticeDelivery.id).where(
        NoticeDelivery.notice_id == notice.notice_id, NoticeDelivery.endpoint_id == endpoint.id
    )
    return [] if session.scalar(known) else [endpoint]


def _ended(endpoint_id: int | None) -> Select[*tuple[Any, ...]]:
    """Return the query of deliveries to endpoints that are sent something, the oldest first."""
    query = (
        select(NoticeDelivery.id, NoticeDelivery.endpoint_id, NoticeEndpoint.ordered)
        .join(NoticeEndpoint, NoticeEndpoint.id == NoticeDelivery.endpoint_id)
        .where(NoticeEndpoint.state.in_(("on", "failing")))
        .order_by(NoticeDelivery.position, NoticeDelivery.id)
    )
    if endpoint_id is not None:
        query = query.where(NoticeDelivery.endpoint_id == endpoint_id)
    return query


def _of_notice(notice_id: int, endpoint_id: int | None) -> Select[*tuple[Any, ...]]:
    return _ended(endpoint_id).where(
        NoticeDelivery.notice_id == notice_id, NoticeDelivery.state != "pending"
    )


def _of_missed(
    session: Session, missed: Missed, endpoint_id: int | None
) -> Select[*tuple[Any, ...]]:
    query = _ended(endpoint_id).join(OutboxEvent, OutboxEvent.id == NoticeDelivery.notice_id)
    # A test is for the moment in which somebody watches it.
    query = query.where(OutboxEvent.topic != str(Topic.ENDPOINT_TEST))
    if "done" not in missed.states:
        # In the words of the partial index, which no parameter would find.
        query = query.where(text("notice_deliveries.state IN ('dead', 'skipped')"))
    query = query.where(NoticeDelivery.state.in_(missed.states))
    if missed.since is not None:
        query = query.where(OutboxEvent.created_at >= missed.since)
    if missed.until is not None:
        query = query.where(OutboxEvent.created_at < missed.until)
    if missed.finished_before is not None:
        query = query.where(NoticeDelivery.finished_at < missed.finished_before)
    if missed.topics:
        topics.check_patterns(missed.topics)
        query = query.where(OutboxEvent.topic.in_([str(t) for t in topics.selected(missed.topics)]))
    if missed.account is not None:
        account = accounts.find_in_reach(session, missed.account, product=None, account_id=None)
        if account is None:
            raise UnknownAccount(missed.account)
        query = query.where(OutboxEvent.account_id == account.id)
    return query


def _lock(session: Session, query: Select[*tuple[Any, ...]], endpoint_id: int | None) -> None:
    """Lock the endpoints whose deliveries are changed: who finishes them does the same."""
    if endpoint_id is not None:
        return  # it is locked
    found = query.with_only_columns(
        NoticeDelivery.endpoint_id, maintain_column_froms=True
    ).subquery()
    session.execute(
        select(NoticeEndpoint.id)
        .where(NoticeEndpoint.id.in_(select(found.c.endpoint_id)))
        .order_by(NoticeEndpoint.id)
        .with_for_update(key_share=True)
    )


_MAKE_PENDING = text("""
UPDATE notice_deliveries
   SET state = 'pending', tries = 0, finished_at = NULL,
       next_attempt_at = CASE WHEN line_account_id IS NULL THEN CAST(:now AS timestamptz) END
 WHERE id = ANY(CAST(:ids AS bigint[]))
""")


def _make_pending(session: Session, ids: Sequence[int], now: datetime) -> None:
    if ids:
        session.execute(_MAKE_PENDING, {"ids": int_array(ids), "now": now})


def _write_new(
    session: Session, notice: PlacedNotice | None, new: Sequence[NoticeEndpoint], now: datetime
) -> None:
    for endpoint in new:
        assert notice is not None  # only one notice can be new to an endpoint
        line = notice.account_id if endpoint.ordered else None
        session.add(
            NoticeDelivery(
                notice_id=notice.notice_id, endpoint_id=endpoint.id, position=notice.position,
                line_account_id=line, state="pending", attempts=0, tries=0,
                next_attempt_at=now if line is None else None, created_at=now,
            )
        )  # fmt: skip
        session.flush()
        if line is not None:
            lines.straighten(session, endpoint.id, now=now)


def _record(
    session: Session,
    notice_id: int | None,
    missed: Missed | None,
    endpoint_id: int | None,
    count: int,
) -> None:
    after: dict[str, Any] = {"deliveries": count, "endpoint": endpoint_id}
    if missed is not None:
        after |= {
            "states": list(missed.states), "topics": list(missed.topics),
            "account": missed.account,
            "since": missed.since.isoformat() if missed.since else None,
            "until": missed.until.isoformat() if missed.until else None,
        }  # fmt: skip
    subject = f"notice:ntc_{notice_id}" if notice_id is not None else "notices"
    audit.record(session, "notice.replay", subject, before=None, after=after)

"""Reading notices for operators: what was sent to whom, and what came of each call.

Used by the command line. `pull.py` is what platforms read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, Subquery, and_, literal_column, or_, select, text
from sqlalchemy.orm import Session

from billing import accounts, topics
from billing.errors import UnknownAccount
from billing.notices.errors import UnknownNotice
from billing.topics import Topic
from db.bulk import int_array
from db.models import Account, NoticeAttempt, NoticeDelivery, OutboxEvent
from db.pages import Page, Wanted, read_page

DeliveryState = Literal["pending", "done", "dead", "skipped"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call."""

    number: int
    started_at: datetime
    duration_ms: int
    status: int | None
    error: str | None
    response_head: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notice at one endpoint."""

    delivery_id: int
    endpoint_id: int
    url: str
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None
    """None: finished, or in line behind a notice of its account."""
    last_status: int | None
    last_error: str | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice; position, sequence and body are None until it is placed."""

    notice_id: int
    topic: str
    subject: str
    account: str | None
    product: str | None
    sequence: int | None
    position: int | None
    created_at: datetime
    request_id: str | None
    superseded: bool
    deliveries: Sequence[Delivery]


@dataclass(frozen=True, slots=True)
class NoticeDetails:
    """A notice, what is sent of it, and every call."""

    notice: Notice
    body: bytes | None
    attempts: Mapping[int, Sequence[Attempt]]
    """Of each delivery."""


@dataclass(frozen=True, slots=True)
class NoticeFilter:
    """Which notices are listed; what is None or empty does not narrow."""

    topics: tuple[str, ...] = ()
    account: str | None = None
    endpoint_id: int | None = None
    state: DeliveryState | None = None
    """Of a delivery (to `endpoint_id`, if one is named)."""


def list_notices(session: Session, wanted: Wanted, *, which: NoticeFilter) -> Page[Notice]:
    """Return a page of notices, newest first, without those that a newer one replaced.

    As everywhere, high-volume topics are shown to whom names them. Raises `UnknownAccount`,
    `billing.topics.UnknownTopic`, `InvalidPosition`.
    """
    query = _notices().where(OutboxEvent.superseded_at.is_(None), *_conditions(session, which))
    if which.state is not None or which.endpoint_id is not None:
        known = _with_delivery(which)
        query = query.join(known, known.c.notice_id == OutboxEvent.id)
    page = read_page(session, query, wanted, by=[OutboxEvent.id], time=OutboxEvent.created_at)
    found = _deliveries(session, [row[0] for row in page])
    return page.map(lambda row: _notice(row, found.get(row[0], ())))


def get_notice(session: Session, notice_id: int) -> NoticeDetails:
    """Return a notice, its deliveries, and every call of them. Raises `UnknownNotice`."""
    query = _notices().add_columns(OutboxEvent.body).where(OutboxEvent.id == notice_id)
    row = session.execute(query).one_or_none()
    if row is None:
        raise UnknownNotice(notice_id)
    deliveries = _deliveries(session, [notice_id]).get(notice_id, ())
    calls = session.scalars(
        select(NoticeAttempt)
        .where(NoticeAttempt.delivery_id.in_([d.delivery_id for d in deliveries]))
        .order_by(NoticeAttempt.delivery_id, NoticeAttempt.number)
    )
    attempts: dict[int, list[Attempt]] = {d.delivery_id: [] for d in deliveries}
    for one in calls:
        attempts[one.delivery_id].append(
            Attempt(
                one.number, one.started_at, one.duration_ms, one.status, one.error,
                bytes(one.response_head),
            )
        )  # fmt: skip
    body = None if row.body is None else bytes(row.body)
    return NoticeDetails(_notice(row, deliveries), body, attempts)


def _notices() -> Select[*tuple[Any, ...]]:
    return select(
        OutboxEvent.id,
        OutboxEvent.topic,
        OutboxEvent.subject,
        Account.ref,
        OutboxEvent.product,
        OutboxEvent.sequence,
        OutboxEvent.position,
        OutboxEvent.created_at,
        OutboxEvent.request_id,
        OutboxEvent.superseded_at,
    ).outerjoin(Account, Account.id == OutboxEvent.account_id)


def _conditions(session: Session, which: NoticeFilter) -> list[ColumnElement[bool]]:
    topics.check_patterns(which.topics)
    wanted = topics.selected(which.topics or (topics.ALL,))
    conditions: list[ColumnElement[bool]] = [OutboxEvent.topic.in_([str(t) for t in wanted])]
    low_volume = Topic.LEAD_CHARGED not in wanted
    if low_volume:
        # In the words of the partial indexes, which no parameter would find.
        conditions.append(OutboxEvent.topic != literal_column("'lead.charged'"))
    if which.account is not None:
        account = accounts.find_in_reach(session, which.account, product=None, account_id=None)
        if account is None:
            raise UnknownAccount(which.account)
        conditions.append(OutboxEvent.account_id == account.id)
        if low_volume:
            placed = OutboxEvent.position.is_not(None)
            waiting = and_(OutboxEvent.position.is_(None), OutboxEvent.superseded_at.is_(None))
            conditions.append(or_(placed, waiting))
    return conditions


def _with_delivery(which: NoticeFilter) -> Subquery:
    """Return the notices with such a delivery, newest first.

    In that order PostgreSQL looks up those of one page alone; else it joins all 200,000 that wait.
    """
    query = select(NoticeDelivery.notice_id).distinct().order_by(NoticeDelivery.notice_id.desc())
    if which.endpoint_id is not None:
        query = query.where(NoticeDelivery.endpoint_id == which.endpoint_id)
    if which.state is not None:
        query = query.where(NoticeDelivery.state == which.state)
        partial = {"dead": _MISSED, "skipped": _MISSED, "pending": _PENDING}.get(which.state)
        if partial is not None:
            query = query.where(text(partial))
    return query.offset(0).subquery()


_MISSED = "notice_deliveries.state IN ('dead', 'skipped')"
_PENDING = """notice_deliveries.state = 'pending' AND (
notice_deliveries.next_attempt_at IS NOT NULL OR notice_deliveries.line_account_id IS NOT NULL)"""
"""The conditions of the partial indexes: a parameter would not find them."""

_DELIVERIES = text("""
SELECT d.notice_id, d.id, d.endpoint_id, e.url, d.state, d.attempts, d.next_attempt_at,
       d.last_status, d.last_error, d.finished_at
  FROM notice_deliveries d JOIN notice_endpoints e ON e.id = d.endpoint_id
 WHERE d.notice_id = ANY(CAST(:ids AS bigint[]))
 ORDER BY d.notice_id, d.endpoint_id
""")


def _deliveries(session: Session, notice_ids: Sequence[int]) -> Mapping[int, Sequence[Delivery]]:
    found: dict[int, list[Delivery]] = {}
    for row in session.execute(_DELIVERIES, {"ids": int_array(notice_ids)}):
        found.setdefault(row.notice_id, []).append(Delivery(*row[1:]))
    return found


def _notice(row: Sequence[Any], deliveries: Sequence[Delivery]) -> Notice:
    """Return the notice of a row of `_notices`."""
    id_, topic, subject, ref, product, sequence, position, created_at, request_id = row[:9]
    return Notice(
        notice_id=id_,
        topic=topic,
        subject=subject,
        account=ref,
        product=product,
        sequence=sequence,
        position=position,
        created_at=created_at,
        request_id=request_id,
        superseded=row[9] is not None,
        deliveries=deliveries,
    )

"""What happened, as platforms read it: pages after a position (`GET /v1/events`).

Positions are given in the order of commits and without a gap (`placing.py`): whoever has read up to
one will never see a new notice below it.

A page looks at a bounded number of rows, however few of them are wanted: then it is short, and says
that there is more.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from billing import topics
from billing.topics import PLATFORM_TOPICS, Topic
from db.bulk import text_array
from db.models import NoticePosition

MOST_LOOKED_AT = 10_000
"""Rows that one page looks at: some ten or twenty milliseconds of the database."""
GRACE = timedelta(hours=1)
"""How much later a cursor is too old: who has just begun with the oldest can go on."""


@dataclass(frozen=True, slots=True)
class Event:
    """One notice as a platform reads it."""

    position: int
    notice_id: int
    topic: str
    created_at: datetime
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events in the order of their positions, and where the next page begins."""

    events: Sequence[Event]
    next: int
    """The position to ask with next, also of an empty page: all up to it was looked at."""
    more: bool
    """Whether there may be more after `next`."""


class CursorTooOld(Exception):
    """What followed this position is no longer kept for reading."""


def last_position(session: Session) -> int:
    """Return the position that was given last; zero before the first."""
    return session.scalars(select(NoticePosition.last)).one()


def events_after(
    session: Session,
    *,
    after: int,
    types: Sequence[str],
    product: str | None,
    account_id: int | None,
    oldest: datetime | None,
    limit: int,
) -> EventPage:
    """Return up to `limit` events after a position, of topics whose audience is platforms.

    `types`: exact names or patterns; empty: all but high-volume ones. `product`, `account_id`: the
    reach of the caller, and what it asks for; None: every one. `oldest`: what was written before is
    no longer read.
    Raises `UnknownTopic`; `CursorTooOld` if what is no longer read follows `after`, unless `after`
    is 0: the beginning of what is kept. It is so an hour later.
    """
    topics.check_patterns(types, PLATFORM_TOPICS)
    wanted = topics.selected(types or (topics.ALL,), PLATFORM_TOPICS)
    last = last_position(session)  # first, so that a page holds no row that it does not reach
    begin = after
    if not after and oldest is not None:
        begin = session.scalars(_LAST_BEFORE, {"last": last, "oldest": oldest}).one_or_none() or 0
    values = {
        "after": begin,
        "last": last,
        "product": product,
        "account_id": account_id,
        "topics": text_array(wanted),
        "looked_at": MOST_LOOKED_AT,
        "limit": limit + 1,
    }
    parts = _parts(wanted, product, account_id)
    rows = session.execute(text(_PAGE.format_map(parts)), values).all()
    if after and oldest is not None and rows and rows[0].created_at < oldest - GRACE:
        raise CursorTooOld
    events = [
        Event(row.position, row.id, row.topic, row.created_at, json.loads(bytes(row.body))["data"])
        for row in rows[:limit]
    ]
    if len(rows) > limit:
        return EventPage(events, events[-1].position, more=True)
    reached = session.scalar(text(_LAST_LOOKED_AT.format_map(parts)), values)
    return EventPage(events, last if reached is None else reached, more=reached is not None)


def _parts(wanted: Sequence[Topic], product: str | None, account_id: int | None) -> dict[str, str]:
    """Return the conditions of the rows to look at, by an index, and of what is shown of them.

    The indexes of products and accounts leave leads that were charged out. Who wants those is shown
    what fits of the next positions, whoever they are about.
    """
    mine = ["product = :product"] * (product is not None)
    mine += ["account_id = :account_id"] * (account_id is not None)
    if not mine or Topic.LEAD_CHARGED in wanted:
        return {"looked_at": "TRUE", "shown": " AND ".join(["TRUE", *mine])}
    # As the partial indexes have it.
    return {"looked_at": " AND ".join(["topic <> 'lead.charged'", *mine]), "shown": "TRUE"}


_PAGE = """
SELECT position, id, topic, created_at, body
  FROM (SELECT position, id, topic, created_at, body, product, account_id FROM outbox_events
         WHERE position > :after AND position <= :last AND {looked_at}
         ORDER BY position LIMIT :looked_at) AS looked_at
 WHERE topic = ANY(CAST(:topics AS text[])) AND {shown}
 ORDER BY position LIMIT :limit
"""
_LAST_LOOKED_AT = """
SELECT position FROM outbox_events
 WHERE position > :after AND position <= :last AND {looked_at}
 ORDER BY position OFFSET :looked_at - 1 LIMIT 1
"""
# By halves: positions rise with the time.
_LAST_BEFORE = text("""
WITH RECURSIVE halves(low, high) AS (
    SELECT CAST(0 AS bigint), CAST(:last AS bigint)
     UNION ALL
    SELECT CASE WHEN e.created_at < :oldest THEN e.position ELSE low END,
           CASE WHEN e.created_at < :oldest THEN high ELSE e.position - 1 END
      FROM halves JOIN outbox_events e ON e.position = (low + high + 1) / 2
     WHERE low < high
)
SELECT low FROM halves WHERE low >= high
""")

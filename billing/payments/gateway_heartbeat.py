"""The heartbeat of the gateways: when each was last heard of, and when it was last asked.

A webhook that was switched off at the gateway makes no noise. So a gateway that sends nothing for
the catalog's time, while orders of that age wait to be paid, is reported once; and once more when
it is heard again. Called by `tasks/`.
"""

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

import clock
from billing import catalog
from billing.topics import Topic
from db import outbox
from db.outbox import NewNotice

RECORD_EVERY = timedelta(seconds=30)
LIST_EVERY = timedelta(hours=1)
RETRY_AFTER = timedelta(minutes=5)

_KNOWN = text("""
SELECT true FROM gateway_signs
 WHERE gateway = :gateway AND last_event_at > :limit AND silent_since IS NULL
""")
# greatest() passes over the NULL of a gateway that was never heard of.
_HEARD = text("""
INSERT INTO gateway_signs AS s (gateway, last_event_at) VALUES (:gateway, :now)
    ON CONFLICT (gateway) DO UPDATE
   SET last_event_at = greatest(s.last_event_at, excluded.last_event_at), silent_since = NULL
RETURNING (SELECT silent_since FROM gateway_signs WHERE gateway = :gateway)
""")


def record_event(session: Session, gateway: str) -> None:
    """Record that a webhook of the gateway came; give notice if it had been silent.

    Not of every webhook: all workers would wait for each other at the gateway's one row.
    """
    now = clock.now()
    if session.scalar(_KNOWN, {"gateway": gateway, "limit": now - RECORD_EVERY}):
        return
    silent_since = session.scalar(_HEARD, {"gateway": gateway, "now": now})
    if silent_since is not None:
        _write_notice(session, Topic.GATEWAY_HEARD, gateway, "silent_since", silent_since)


_BECAME_SILENT = text("""
INSERT INTO gateway_signs AS s (gateway, silent_since)
SELECT DISTINCT o.gateway, CAST(:now AS timestamptz)
  FROM billing_orders o
 WHERE o.state = 'open' AND o.created_at <= :limit
   AND NOT EXISTS (SELECT FROM gateway_signs h WHERE h.gateway = o.gateway
                      AND (h.last_event_at > :limit OR h.silent_since IS NOT NULL))
    ON CONFLICT (gateway) DO UPDATE SET silent_since = excluded.silent_since
 WHERE s.silent_since IS NULL AND (s.last_event_at IS NULL OR s.last_event_at <= :limit)
RETURNING s.gateway, s.last_event_at
""")


def report_silent(session: Session) -> list[str]:
    """Give notice of each gateway that fell silent, and return their names."""
    now = clock.now()
    limit = now - timedelta(minutes=catalog.get().payments.silent_after_minutes)
    silent = session.execute(_BECAME_SILENT, {"now": now, "limit": limit}).all()
    for gateway, last_event_at in silent:
        _write_notice(session, Topic.GATEWAY_SILENT, gateway, "last_event_at", last_event_at)
    return [gateway for gateway, _ in silent]


_START_LISTING = text("""
INSERT INTO gateway_signs AS s (gateway, disputes_asked_at) VALUES (:gateway, :now)
    ON CONFLICT (gateway) DO UPDATE SET disputes_asked_at = :now
 WHERE s.disputes_asked_at IS NULL OR s.disputes_asked_at <= :limit
RETURNING true
""")


def start_listing(session: Session, gateway: str) -> bool:
    """Return whether the gateway's refunds and disputes are to be listed now, and record it."""
    now = clock.now()
    listing = {"gateway": gateway, "now": now, "limit": now - LIST_EVERY}
    return session.scalar(_START_LISTING, listing) is not None


_RETRY_LISTING = text("""
UPDATE gateway_signs SET disputes_asked_at = :asked_at WHERE gateway = :gateway
""")


def retry_listing_soon(session: Session, gateway: str) -> None:
    """Have the listing of a gateway that did not answer started again in a few minutes."""
    asked_at = clock.now() - LIST_EVERY + RETRY_AFTER
    session.execute(_RETRY_LISTING, {"gateway": gateway, "asked_at": asked_at})


def _write_notice(
    session: Session, topic: Topic, gateway: str, field: str, moment: datetime | None
) -> None:
    payload = {"gateway": gateway, field: moment.isoformat() if moment else None}
    notice = NewNotice(topic, f"gateway:{gateway}", None, payload)
    outbox.write(session, [notice], now=clock.now())

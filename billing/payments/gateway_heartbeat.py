"""Signs of life: when a gateway was last heard of, and telling operators when it falls silent.

A webhook that was switched off at the gateway makes no noise. So a gateway that sends nothing for
the catalog's time, while orders of that age wait to be paid, is reported once; and once more when
it is heard again.
"""

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

import clock
from billing import catalog
from billing.topics import Topic
from db import outbox
from db.outbox import NewNotice

NOTED_EVERY = timedelta(seconds=30)

_KNOWN = text("""
SELECT true FROM gateway_signs
 WHERE gateway = :gateway AND last_event_at > :limit AND silent_since IS NULL
""")
_HEARD = text("""
INSERT INTO gateway_signs AS s (gateway, last_event_at) VALUES (:gateway, :now)
    ON CONFLICT (gateway) DO UPDATE
   SET last_event_at = greatest(s.last_event_at, excluded.last_event_at), silent_since = NULL
RETURNING (SELECT silent_since FROM gateway_signs WHERE gateway = :gateway)
""")
_BECAME_SILENT = text("""
INSERT INTO gateway_signs AS s (gateway, last_event_at, silent_since)
SELECT o.gateway, min(o.created_at), CAST(:now AS timestamptz)
  FROM billing_orders o
 WHERE o.state = 'open' AND o.created_at <= :limit
   AND NOT EXISTS (SELECT FROM gateway_signs h WHERE h.gateway = o.gateway
                      AND (h.last_event_at > :limit OR h.silent_since IS NOT NULL))
 GROUP BY o.gateway
    ON CONFLICT (gateway) DO UPDATE SET silent_since = excluded.silent_since
 WHERE s.silent_since IS NULL AND s.last_event_at <= :limit
RETURNING s.gateway, s.last_event_at
""")


def record_event(session: Session, gateway: str) -> None:
    """Take note of a webhook from the gateway; tell of it where it had been silent.

    Now and then is enough: the row is one for all workers, who would wait for each other at it.
    """
    now = clock.now()
    if session.scalar(_KNOWN, {"gateway": gateway, "limit": now - NOTED_EVERY}):
        return
    silent_since = session.scalar(_HEARD, {"gateway": gateway, "now": now})
    if silent_since is not None:
        _write_notice(session, Topic.GATEWAY_HEARD, gateway, "silent_since", silent_since)


def report_silent(session: Session) -> list[str]:
    """Report each gateway that fell silent, and return their names."""
    now = clock.now()
    limit = now - timedelta(minutes=catalog.get().payments.silent_after_minutes)
    fallen = session.execute(_BECAME_SILENT, {"now": now, "limit": limit}).all()
    for gateway, last_event_at in fallen:
        _write_notice(session, Topic.GATEWAY_SILENT, gateway, "last_event_at", last_event_at)
    return [gateway for gateway, _ in fallen]


def _write_notice(
    session: Session, topic: Topic, gateway: str, field: str, moment: datetime
) -> None:
    payload = {"gateway": gateway, field: moment.isoformat()}
    notice = NewNotice(topic, f"gateway:{gateway}", None, payload)
    outbox.write(session, [notice], now=clock.now())

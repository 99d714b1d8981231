"""The test of an endpoint: a notice of its own, for it alone, called while somebody watches."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from billing.notices import endpoints, placing, secrets
from billing.notices.due import Due
from billing.notices.errors import EndpointBusy
from billing.notices.leases import Lane, lock_leases, take_lane
from billing.notices.placed import PlacedNotice
from billing.topics import Topic

_NOTICE = text("""
INSERT INTO outbox_events (topic, subject, payload, created_at, position, product, body)
VALUES (:topic, :subject, jsonb_build_object('endpoint_id', CAST(:endpoint_id AS bigint)),
        :now, :position, :product, :body)
RETURNING id
""")
_LAST = text("UPDATE notice_positions SET last = :last")
_DELIVERY = text("""
INSERT INTO notice_deliveries
       (notice_id, endpoint_id, position, state, next_attempt_at, created_at)
VALUES (:notice_id, :endpoint_id, :position, 'pending', :now, :now)
RETURNING id
""")


def lease_test(session: Session, endpoint_id: int, *, now: datetime) -> Lane:
    """Write a notice `endpoint.test` for this endpoint alone, and lease its one delivery.

    Also if the endpoint is off. The caller calls and finishes as `tasks/` does. It is tried once
    and decides nothing about the endpoint. Raises `UnknownEndpoint`, `EndpointBusy`,
    `service.signing.CannotDecrypt`, `service.signing.NoWebSecret`.
    """
    position = placing.lock_positions(session) + 1
    lock_leases(session, now=now)
    row = endpoints.lock(session, endpoint_id)
    known = secrets.decrypted(secrets.signing_now(session, [row.id], now=now).get(row.id, ()))
    notice = PlacedNotice(
        notice_id=0,
        position=position,
        topic=Topic.ENDPOINT_TEST,
        subject=f"endpoint:{row.id}",
        account_id=None,
        account=None,
        product=row.product,
        sequence=None,
        created_at=now,
        payload={"endpoint_id": row.id},
    )
    body = placing.body_of(notice)
    values = {
        "topic": str(notice.topic), "subject": notice.subject, "endpoint_id": row.id, "now": now,
        "position": position, "product": row.product, "body": body,
    }  # fmt: skip
    notice_id = session.execute(_NOTICE, values).scalar_one()
    session.execute(_LAST, {"last": position})
    place = {
        "notice_id": notice_id, "endpoint_id": row.id, "position": position, "now": now,
    }  # fmt: skip
    delivery_id = session.execute(_DELIVERY, place).scalar_one()
    lane = take_lane(session, row, known, Due(delivery_id, notice_id, body, 1), now=now)
    if lane is None:
        raise EndpointBusy(row.id)
    return lane

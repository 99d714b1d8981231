"""The notice that came of a trigger, and what became of its delivery."""

import time

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from billing.notices import Notice, get_notice
from billing.topics import Topic
from cli.notices import nudge
from cli.notices.deliveries import in_words, machine_deliveries
from cli.output import Record
from cli.trigger.scene import Scene, wait_for
from db.models import OutboxEvent
from db.session import transaction

DELIVERY_SECONDS = 10
"""How long a delivery is waited for; after that it is still under way."""


def newest_notice() -> int:
    """Return the id of the newest notice, zero without one."""
    with transaction() as session:
        return session.scalar(select(func.max(OutboxEvent.id))) or 0


def wait(topic: Topic, scene: Scene, before: int, *, for_people: bool) -> Record:
    """Wait for the notice of a topic that came after `before`; return it and its deliveries."""
    account_id = scene.account().id

    def find() -> int | None:
        with transaction() as session:
            return _newest(session, topic, account_id, before)

    notice_id = wait_for(f"there is a notice {topic}", find)
    nudge.send_notices()
    notice = _delivered(notice_id)
    return {
        "notice_id": f"ntc_{notice_id}",
        "type": notice.topic,
        "account": notice.account,
        "sequence": notice.sequence,
        "deliveries": in_words(notice) if for_people else machine_deliveries(notice),
    }


def _newest(session: Session, topic: Topic, account_id: int, before: int) -> int | None:
    return session.scalar(
        select(func.max(OutboxEvent.id)).where(
            OutboxEvent.id > before,
            OutboxEvent.topic == topic,
            OutboxEvent.account_id == account_id,
            OutboxEvent.superseded_at.is_(None),
        )
    )


def _delivered(notice_id: int) -> Notice:
    """Return the notice as soon as each delivery was tried, or after some seconds."""
    deadline = time.monotonic() + DELIVERY_SECONDS
    while True:
        with transaction() as session:
            notice = get_notice(session, notice_id).notice
        placed = notice.position is not None
        if placed and all(one.attempts or one.state != "pending" for one in notice.deliveries):
            return notice
        if time.monotonic() > deadline:
            return notice
        time.sleep(0.05)

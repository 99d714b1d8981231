"""Given: contacts, notices that are placed, mails that are leased, for the tests of mail."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

import clock
import settings
from billing import audit, notices
from billing.notices import PlacedNotice, contacts, mail_queue
from billing.notices.mail_queue import LeasedMail
from billing.topics import Topic
from db.session import transaction
from tests.billing.given import rows
from tests.conftest import owner
from tests.stack_process import eventually

CLINIC = "clinic:42"
ADDRESS = "accounts@clinic.example"
OPS = "ops@shop.example"
NOON = datetime.fromisoformat("2026-11-30T12:00:00+05:30")


@contextmanager
def mail_on(patch: pytest.MonkeyPatch, *, url: str = "smtp://127.0.0.1:9") -> Iterator[None]:
    """Mail is on, by a server at `url`."""
    patch.setenv("SMTP_URL", url)
    patch.setenv("MAIL_FROM", "Billing <billing@shop.example>")
    patch.setenv("WEB_SECRETS", "a-secret-of-the-tests-that-is-long-enough")
    patch.setenv("WEB_URL", "https://pay.shop.example")
    settings.get.cache_clear()
    yield
    patch.undo()
    settings.get.cache_clear()


@contextmanager
def mail_off() -> Iterator[None]:
    """Mail is off for the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SMTP_URL")
        settings.get.cache_clear()
        yield
    settings.get.cache_clear()


def wait_for_a_lock() -> None:
    """Wait until somebody waits for a row of another transaction."""
    waits = text("SELECT 1 FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted")
    with owner() as connection:
        eventually("somebody waits for a lock", lambda: connection.execute(waits).all())


def asking() -> AbstractContextManager[None]:
    """A thread of its own asks."""
    return audit.asked_by("test", door="cli")


def add_contact(
    account: str | None = CLINIC, address: str = ADDRESS, *, confirmed: bool = True, **more: Any
) -> int:
    """A contact; its id."""
    with transaction() as session:
        return contacts.add(
            session, account=account, address=address, actor="test", confirmed=confirmed, **more
        ).contact_id


_UNPLACED = text("""
UPDATE outbox_events o SET position = o.id
  FROM outbox_events p LEFT JOIN accounts a ON a.id = p.account_id
 WHERE o.id = p.id AND p.position IS NULL AND p.superseded_at IS NULL
RETURNING o.id, o.topic, o.subject, o.account_id, a.ref, a.product, o.created_at, o.payload
""")


def placed_notices(session: Any) -> list[PlacedNotice]:
    """What a fan-out hands to the rules of mail, for all that waits; for two of them at once."""
    found = sorted(session.execute(_UNPLACED).all(), key=lambda row: row[0])
    return [
        PlacedNotice(id_, id_, Topic(topic), subject, account_id, ref, product, None, at, payload)
        for id_, topic, subject, account_id, ref, product, at, payload in found
    ]


def fan_out() -> int:
    """Have the mails written of all notices that wait; how many."""
    with transaction() as session:
        return notices.fan_out(session, now=clock.now()).mails


def lease(limit: int = 20) -> list[LeasedMail]:
    """The mails that are due now, leased."""
    with transaction() as session:
        leased, _ = mail_queue.lease(session, now=clock.now(), limit=limit)
    return leased


def sent() -> list[LeasedMail]:
    """The mails that are due now, each sent."""
    leased = lease()
    with transaction() as session:
        for mail in leased:
            mail_queue.finish_sent(session, mail, now=clock.now())
    return leased


def states(kind: str | None = None) -> list[tuple[object, ...]]:
    """The (kind, state, reason) of all mails in their order, or of one kind (state, reason)."""
    found = rows("SELECT kind, state, reason FROM notice_mails ORDER BY id")
    return [row if kind is None else row[1:] for row in found if kind in (None, row[0])]


def later(hours: float) -> Any:
    """The clock stands some hours after noon."""
    return clock.frozen(NOON + timedelta(hours=hours))

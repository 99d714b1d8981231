"""Mails on their way: leased with their facts, sent by `tasks/notices/mail.py`, finished.

An attempt is counted when it is leased: a mail that kills its worker is given up in the end. A
worker that dies between sending and `finish` leaves the lease, and the mail is sent again under the
same Message-ID. Whether a mail is still due is decided under the lock of its row, so that what
happens meanwhile either is seen or writes a mail of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import structlog
from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from billing.notices import mail_loading, mail_switch
from billing.notices.mail_facts import MailFacts
from billing.notices.no_longer_due import NoLongerDue
from db import after_commit
from db.models import NoticeMail

log = structlog.get_logger()

LEASE = timedelta(minutes=2)
"""As long as a task may run (`tasks/plumbing/mutex.py`)."""
LADDER = tuple(
    timedelta(minutes=minutes) for minutes in (1, 5, 15, 30, 60, 120, 240, 480, 720, 1440)
)
"""Between two attempts, about 51 hours in all: a mail server that is down over a weekend, and one
that lets strangers wait (RFC 6647), are back by then."""
MOST_ATTEMPTS = len(LADDER) + 1


@dataclass(frozen=True, slots=True)
class LeasedMail:
    """A mail that this process alone sends until `leased_until`."""

    mail_id: int
    lease_id: UUID
    leased_until: datetime
    attempt: int
    facts: MailFacts


def lease(session: Session, *, now: datetime, limit: int) -> tuple[list[LeasedMail], int]:
    """Lease up to `limit` mails that are due, and finish those that are not any more.

    Returns the leased, and how many rows were looked at: zero means that nothing is due.
    """
    if off := mail_switch.off_because():
        return [], _skip_all(session, off, now=now)
    rows = session.scalars(
        select(NoticeMail)
        .where(*_due(now))
        .order_by(NoticeMail.next_attempt_at, NoticeMail.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    ).all()
    leased = [mail for row in rows if (mail := _lease_one(session, row, now=now)) is not None]
    session.flush()
    return leased, len(rows)


def give_back(session: Session, mails: Sequence[LeasedMail]) -> None:
    """Release mails that were not tried: the attempt does not count."""
    for mail in mails:
        session.execute(
            update(NoticeMail)
            .where(*_mine(mail))
            .values(attempts=NoticeMail.attempts - 1, lease_id=None, leased_until=None)
        )


def finish_sent(session: Session, mail: LeasedMail, *, now: datetime) -> None:
    """Record that the mail server took the mail. Does nothing if the lease is another's by now."""
    session.execute(
        update(NoticeMail)
        .where(*_mine(mail))
        .values(state="done", next_attempt_at=None, finished_at=now, leased_until=None, reason=None)
    )


def finish_failed(
    session: Session, mail: LeasedMail, reason: str, *, for_good: bool, now: datetime
) -> None:
    """Record a failed attempt: again by the ladder, or never if it is `for_good`.

    `reason` is in our words: what a mail server answers may hold the address.
    """
    row = session.scalars(select(NoticeMail).where(*_mine(mail)).with_for_update()).one_or_none()
    if row is not None:
        _failed(session, row, reason, for_good=for_good, now=now)
        session.flush()


def _due(now: datetime) -> Sequence[ColumnElement[bool]]:
    return (
        NoticeMail.state == "pending",
        NoticeMail.next_attempt_at <= now,
        or_(NoticeMail.leased_until.is_(None), NoticeMail.leased_until <= now),
    )


def _mine(mail: LeasedMail) -> Sequence[ColumnElement[bool]]:
    return (
        NoticeMail.id == mail.mail_id,
        NoticeMail.lease_id == mail.lease_id,
        NoticeMail.state == "pending",
    )


def _lease_one(session: Session, row: NoticeMail, *, now: datetime) -> LeasedMail | None:
    if row.attempts >= MOST_ATTEMPTS:
        _failed(session, row, row.reason or "its worker died each time", for_good=True, now=now)
        return None
    row.attempts += 1
    try:
        with session.begin_nested():
            facts = mail_loading.load(session, row, now=now)
    except NoLongerDue as over:
        _skip(row, over.reason, now=now)
        return None
    except DBAPIError:
        raise  # the database's trouble: no fault of this mail. A row that is not there is one.
    except Exception as error:  # noqa: BLE001 - one row that cannot be read keeps no other back
        reason = f"cannot be written: {type(error).__name__}"
        _failed(session, row, reason, for_good=False, now=now)
        return None
    row.lease_id, row.leased_until = uuid4(), now + LEASE
    return LeasedMail(row.id, row.lease_id, row.leased_until, row.attempts, facts)


def _failed(
    session: Session, row: NoticeMail, reason: str, *, for_good: bool, now: datetime
) -> None:
    row.reason = reason
    row.leased_until = row.lease_id = None
    fields = {"mail": row.id, "kind": row.kind, "attempt": row.attempts, "reason": reason}
    if for_good or row.attempts >= MOST_ATTEMPTS:
        row.state, row.next_attempt_at, row.finished_at = "dead", None, now
        after_commit.log_error(session, "mail dead", **fields)
    else:
        row.next_attempt_at = now + LADDER[row.attempts - 1]
        after_commit.log_warning(session, "mail failed", **fields)


def _skip(row: NoticeMail, reason: str, *, now: datetime) -> None:
    row.state, row.reason = "skipped", reason
    row.next_attempt_at, row.finished_at = None, now
    row.leased_until = row.lease_id = None


def _skip_all(session: Session, reason: str, *, now: datetime) -> int:
    """Skip what is due while mail is off: it would come all at once, days late."""
    skipped = session.execute(
        update(NoticeMail)
        .where(*_due(now))
        .values(state="skipped", reason=reason, next_attempt_at=None, finished_at=now)
        .returning(NoticeMail.id)
    )
    return len(skipped.all())

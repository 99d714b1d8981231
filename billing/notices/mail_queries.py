"""The mails on record, for who wants to know what became of one."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from billing.notices.contacts import find_owner
from db.models import Account, NoticeContact, NoticeMail
from db.pages import Page, Wanted, read_page

STATES = ("pending", "done", "dead", "skipped")


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that was due once, and what became of it."""

    mail_id: int
    kind: str
    account: str | None
    """By reference; None: it is for operators."""
    contact_id: int
    notice_id: int | None
    state: str
    reason: str | None
    """Why it was skipped, or how the last attempt failed."""
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    finished_at: datetime | None


def list_newest(
    session: Session, wanted: Wanted, *, account: str | None = None, state: str | None = None
) -> Page[Mail]:
    """Return the mails on record, the newest first. Raises `UnknownAccount`."""
    owner = find_owner(session, account)
    query = (
        select(NoticeMail, Account.ref)
        .join(NoticeContact, NoticeContact.id == NoticeMail.contact_id)
        .outerjoin(Account, Account.id == NoticeContact.account_id)
    )
    if owner is not None:
        query = query.where(NoticeContact.account_id == owner.id)
    if state is not None:
        query = query.where(NoticeMail.state == state)
    page = read_page(session, query, wanted, by=[NoticeMail.id], time=NoticeMail.created_at)
    return page.map(lambda row: _mail(*row))


def _mail(row: NoticeMail, account: str | None) -> Mail:
    return Mail(
        mail_id=row.id,
        kind=row.kind,
        account=account,
        contact_id=row.contact_id,
        notice_id=row.notice_id,
        state=row.state,
        reason=row.reason,
        attempts=row.attempts,
        created_at=row.created_at,
        next_attempt_at=row.next_attempt_at,
        finished_at=row.finished_at,
    )

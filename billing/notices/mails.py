"""Which mails a notice makes due: decided in the transaction of its fan-out.

    balance.*                       one a kind and local day of the account
    renewal.reminder                one for each step to a due day; a newer one replaces an older
    lead.parked                     one digest a day, at DIGEST_HOUR
    payment.*, refund.*, dispute.*  one for each payment, refund, dispute
    the others                      one for each notice

What was skipped takes nobody's place: a balance that recovers before its mail is sent, and is low
again in the afternoon, is reported in the afternoon. A notice makes no mail for a contact that was
added after it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import or_, select, tuple_
from sqlalchemy.orm import Session

from billing.calendar import local_day_of
from billing.notices import mail_rows
from billing.notices.mail_facts import MailKind
from billing.notices.mail_rows import NewMail
from billing.notices.mail_rules import DAILY, OF_CUSTOMERS, OF_OPERATORS, problem_with
from billing.notices.placed import PlacedNotice
from billing.notices.zones import known_zone
from billing.topics import selects
from db.after_commit import log_error
from db.models import Account, NoticeContact, NoticeMail

DIGEST_HOUR = 18
"""The local hour at which a day's parked leads are listed: in time for the evening, and once."""

_ONE_OF_SUBJECT = frozenset(
    {
        MailKind.TOP_UP,
        MailKind.REFUND,
        MailKind.DISPUTE_DECIDED,
        MailKind.OPERATOR_CHARGEBACK,
    }
)


def of_notices(session: Session, placed: Sequence[PlacedNotice], *, now: datetime) -> int:
    """Write the mails that these notices make due, and return how many.

    Called under the lock of the fan-out.
    """
    mailed = [one for one in placed if one.topic in OF_CUSTOMERS or one.topic in OF_OPERATORS]
    if not mailed:
        return 0
    contacts = _Contacts(session, mailed)
    new: dict[tuple[int, str, str], NewMail] = {}
    for notice in mailed:
        try:
            made = list(_of_notice(notice, contacts, now=now))
        except (LookupError, TypeError, ValueError) as error:
            # Of an older version, say. It must not hold up every notice behind it.
            log_error(session, "notice without mails", notice=f"ntc_{notice.notice_id}",
                      topic=str(notice.topic), error=type(error).__name__)  # fmt: skip
            continue
        for mail in made:
            new.setdefault(mail.place, mail)
    written = mail_rows.write(session, list(new.values()), now=now)
    in_doubt = [mail for place, mail in new.items() if mail.kind in DAILY and place not in written]
    return len(written) + _write_in_doubt(session, in_doubt, contacts, now=now)


class _Contacts:
    """Who may be mailed about some notices, and in which zone they live."""

    def __init__(self, session: Session, notices: Iterable[PlacedNotice]) -> None:
        accounts = {one.account_id for one in notices if one.topic in OF_CUSTOMERS}
        query = (
            select(NoticeContact, Account.timezone)
            .outerjoin(Account, Account.id == NoticeContact.account_id)
            .where(
                NoticeContact.address.is_not(None),
                or_(
                    NoticeContact.account_id.in_(accounts - {None}),
                    NoticeContact.account_id.is_(None),
                ),
            )
            .order_by(NoticeContact.id)
        )
        self._by_account: dict[int | None, list[NoticeContact]] = {}
        self.zones: dict[int, str] = {}
        """Contact -> zone of its account."""
        for contact, zone in session.execute(query):
            self._by_account.setdefault(contact.account_id, []).append(contact)
            self.zones[contact.id] = known_zone(zone)

    def for_notice(self, notice: PlacedNotice, kind: MailKind) -> Iterator[NoticeContact]:
        """Yield the contacts that want a mail about a notice."""
        owner = notice.account_id if kind is OF_CUSTOMERS.get(notice.topic) else None
        if owner is None and notice.topic not in OF_OPERATORS:
            return  # the account was never opened
        for contact in self._by_account.get(owner, ()):
            if (
                contact.created_at <= notice.created_at
                and selects(contact.topics, notice.topic)
                and problem_with(contact, kind) is None
            ):
                yield contact


def _of_notice(notice: PlacedNotice, contacts: _Contacts, *, now: datetime) -> Iterator[NewMail]:
    for kinds in (OF_CUSTOMERS, OF_OPERATORS):
        kind = kinds.get(notice.topic)
        if kind is None:
            continue
        for contact in contacts.for_notice(notice, kind):
            zone = contacts.zones[contact.id]
            if kind is MailKind.LEADS_PARKED:
                day, due_at = next_digest(zone, after=now)
                once_for = day.isoformat()
            else:
                once_for, due_at = _occasion(notice, kind, zone, now=now), now
            yield NewMail(contact.id, kind, once_for, due_at, notice.notice_id)


def _occasion(notice: PlacedNotice, kind: MailKind, zone: str, *, now: datetime) -> str:
    if kind in DAILY:
        return local_day_of(now, zone).isoformat()
    if kind is MailKind.RENEWAL_REMINDER:
        # Not the day: one that is written late must not stand in the way of that day's own.
        return f"{notice.payload['due_on']} {notice.payload['days']:+d}"
    return notice.subject if kind in _ONE_OF_SUBJECT else f"ntc_{notice.notice_id}"


def next_digest(zone: str, *, after: datetime) -> tuple[date, datetime]:
    """Return the local day and the instant of the first digest after a moment. Pure."""
    day = local_day_of(after, zone)
    while (at := _digest_of(day, zone)) <= after:
        day += timedelta(days=1)
    return day, at


def _digest_of(day: date, zone: str) -> datetime:
    # Through UTC and back: an hour that the zone skips becomes the one after it.
    return datetime.combine(day, time(DIGEST_HOUR), tzinfo=ZoneInfo(zone)).astimezone(UTC)


def _write_in_doubt(
    session: Session, mails: Sequence[NewMail], contacts: _Contacts, *, now: datetime
) -> int:
    """Write again what the mail that was there before may not report after all.

    Whoever leases that mail at this moment has read what was so before these notices: it may skip
    the mail, or list the leads without theirs. The lock waits until that is decided.
    """
    if not mails:
        return 0
    rows = session.scalars(
        select(NoticeMail)
        .where(
            NoticeMail.state != "skipped",
            tuple_(NoticeMail.contact_id, NoticeMail.kind, NoticeMail.once_for).in_(
                [mail.place for mail in mails]
            ),
        )
        .order_by(NoticeMail.id)
        .with_for_update(read=True)
    )
    is_open = {
        (row.contact_id, row.kind, row.once_for): row.state == "pending" and row.lease_id is None
        for row in rows
    }
    missing = []
    for mail in mails:
        if mail.place not in is_open:
            missing.append(mail)
        elif mail.kind is MailKind.LEADS_PARKED and not is_open[mail.place]:
            day, at = next_digest(contacts.zones[mail.contact_id], after=mail.due_at)
            missing.append(replace(mail, once_for=day.isoformat(), due_at=at))
    return len(mail_rows.write(session, missing, now=now))

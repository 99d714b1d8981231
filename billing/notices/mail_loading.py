"""The facts of a mail, read when it is sent; and whether it is still due.

A mail about a state says what is so at that moment, and is not sent if it is so no longer. What is
older than `TOO_OLD` because nothing was sent for days is no news any more, unless no later mail
says it (`HOWEVER_LATE`). Called by `mail_queue.py` under the lock of the mail's row.
"""

from datetime import datetime, timedelta

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from billing.notices import (
    customer_mail_facts,
    mail_links,
    mail_switch,
    operator_mail_facts,
    renewal_offers,
)
from billing.notices.customer_mail_facts import Asked
from billing.notices.mail_facts import ConfirmAddressFacts, Facts, MailFacts, MailKind
from billing.notices.mail_rules import DAILY, HOWEVER_LATE, can_be_stopped, problem_with
from billing.notices.no_longer_due import NoLongerDue
from billing.notices.zones import known_zone
from db.models import Account, NoticeContact, NoticeMail, OutboxEvent

TOO_OLD = timedelta(days=3)


def load(session: Session, mail: NoticeMail, *, now: datetime) -> MailFacts:
    """Return what a mail says as of now; raises `NoLongerDue`."""
    kind = MailKind(mail.kind)
    contact = session.get_one(NoticeContact, mail.contact_id, populate_existing=True)
    if problem := problem_with(contact, kind):
        raise NoLongerDue(problem)
    notice = session.get(OutboxEvent, mail.notice_id) if mail.notice_id else None
    if mail.notice_id and notice is None:
        raise NoLongerDue("its notice is no longer on record")
    written_at = notice.created_at if notice else mail.created_at
    if kind is MailKind.LEADS_PARKED:
        written_at = now  # it lists what is parked now
    if kind not in HOWEVER_LATE and now - written_at > TOO_OLD:
        raise NoLongerDue(f"it is older than {TOO_OLD.days} days")
    if kind in DAILY and _is_replaced(session, mail, now=now):
        raise NoLongerDue("the mail of a later day replaces it")
    account = (
        session.get_one(Account, contact.account_id, populate_existing=True)
        if contact.account_id
        else None
    )
    unsubscribe = mail_links.unsubscribe_url(
        contact.id, "all" if kind is MailKind.CONFIRM_ADDRESS else kind
    )
    return MailFacts(
        kind=kind,
        to=contact.address or "",
        message_id=message_id(mail),
        written_at=written_at,
        account=account.ref if account else None,
        account_name=account.name if account else None,
        product=renewal_offers.product_name(account.product) if account else None,
        zone=known_zone(account.timezone if account else None),
        unsubscribe_url=(
            unsubscribe if can_be_stopped(kind) or kind is MailKind.CONFIRM_ADDRESS else None
        ),
        facts=_facts(session, kind, mail, account, notice, now=now),
    )


def message_id(mail: NoticeMail) -> str:
    """Return the Message-ID of a mail: the same at every attempt, of no other mail anywhere.

    The time is in it because a database that was made anew counts from one again.
    """
    return f"<mail-{mail.id}.{mail.created_at:%Y%m%d%H%M%S%f}@{mail_switch.mail_domain()}>"


def _facts(
    session: Session,
    kind: MailKind,
    mail: NoticeMail,
    account: Account | None,
    notice: OutboxEvent | None,
    *,
    now: datetime,
) -> Facts:
    if kind is MailKind.CONFIRM_ADDRESS:
        return ConfirmAddressFacts(
            confirm_url=mail_links.confirm_url(mail.contact_id),
            expires_at=now + mail_links.CONFIRM_WITHIN,
        )
    if notice is None:
        raise NoLongerDue("no notice asked for it")
    if account is None:
        return operator_mail_facts.load(session, kind, notice)
    return customer_mail_facts.load(Asked(session, kind, mail, account, notice, now))


def _is_replaced(session: Session, mail: NoticeMail, *, now: datetime) -> bool:
    """Tell whether the contact is sent, or was sent, the mail of a later day that says the same.

    After some days in which nothing was sent there is one of each day.
    """
    of_today = or_(NoticeMail.attempts > 0, NoticeMail.next_attempt_at <= now)
    later = select(NoticeMail.id).where(
        NoticeMail.contact_id == mail.contact_id,
        NoticeMail.kind == mail.kind,
        NoticeMail.once_for > mail.once_for,
        or_(NoticeMail.state == "done", and_(NoticeMail.state == "pending", of_today)),
    )
    return session.scalar(later.limit(1)) is not None

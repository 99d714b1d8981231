"""The mail that asks an address whether it is an account's; and how many of them a stranger gets.

A platform may name anybody's address, for each of its accounts and again after each removal. Who
does not answer is left alone after `MOST_UNANSWERED`, whichever accounts and platforms asked; who
stopped the mails of an account is not asked about it again. What is counted is a digest of the
address by a key of ours, so that a removed address is forgotten all the same.

Called by `contacts.py`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

import settings
from billing.notices import mail_rows
from billing.notices.errors import TooManyContacts
from billing.notices.mail_facts import EVERY_KIND, MailKind
from billing.notices.mail_rows import NewMail
from db.models import NoticeContact, NoticeMail
from service import signing
from service.signing import Label

MOST_UNANSWERED = 5
"""Mails that ask one address to confirm, about all accounts together, within `COUNTED_FOR`."""
COUNTED_FOR = timedelta(days=30)

_ASKING = 0x61736B
"""The first number of the lock, which says what it is for."""


def ask(session: Session, contact: NoticeContact, *, now: datetime) -> None:
    """Have a new contact's reader asked whether the address is the account's.

    Raises `TooManyContacts` if the address was asked too often. One address is counted at a time.
    """
    digests = _digests(contact.address or "")
    if digests:
        lock = func.pg_advisory_xact_lock(_ASKING, func.hashtext(digests[-1]))
        session.execute(select(lock))
        _check(session, contact, digests, since=now - COUNTED_FOR)
    once_for = digests[0] if digests else "contact"
    mail = NewMail(contact.id, MailKind.CONFIRM_ADDRESS, once_for, now)
    mail_rows.write(session, [mail], now=now)


def _digests(address: str) -> tuple[str, ...]:
    """Return what stands for an address; nothing without WEB_SECRETS, without which mail is off."""
    if not settings.get().web_secrets:
        return ()
    return signing.digests(Label.ADDRESSES, address.lower())


def _check(
    session: Session, contact: NoticeContact, digests: Sequence[str], *, since: datetime
) -> None:
    unanswered = session.execute(
        select(NoticeContact.account_id, NoticeContact.unsubscribed, NoticeMail.created_at)
        .join(NoticeMail, NoticeMail.contact_id == NoticeContact.id)
        .where(
            NoticeMail.kind == MailKind.CONFIRM_ADDRESS.value,
            NoticeMail.once_for.in_(digests),
            NoticeMail.state != "skipped",  # nobody got it
            NoticeContact.confirmed_at.is_(None),
        )
    ).all()
    if any(
        account_id == contact.account_id and EVERY_KIND in stopped
        for account_id, stopped, _ in unanswered
    ):
        raise TooManyContacts(
            "the reader of this address has stopped all mails of this account",
            "an operator who knows that they are wanted can add it",
        )
    if sum(asked_at > since for _, _, asked_at in unanswered) >= MOST_UNANSWERED:
        raise TooManyContacts(
            f"{MOST_UNANSWERED} mails that ask this address to confirm are unanswered",
            f"its reader can answer one; or wait up to {COUNTED_FOR.days} days",
        )

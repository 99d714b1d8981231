"""Contacts: who is mailed about an account, or about what operators must know.

An account has several, each with the topics that it wants. An address that a platform gives is
unconfirmed: its reader gets receipts, and one mail that asks to confirm it. Each change is in the
audit log, without the address. Called by the API, the pages and `billing notices contacts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

import clock
from billing import accounts, audit
from billing.errors import UnknownAccount
from billing.notices import addresses, questions
from billing.notices.errors import (
    ContactExists,
    InvalidContact,
    TooManyContacts,
    UnknownContact,
)
from billing.notices.mail_facts import EVERY_KIND, MailKind
from billing.notices.mail_rules import (
    RECEIPTS,
    can_be_stopped,
    mailed_topics,
)
from billing.topics import check_patterns, selects
from db.models import Account, NoticeContact
from db.pages import Page, Wanted, read_page

MOST_AT_ONCE = 20
"""Contacts of one account."""
MOST_A_DAY = 40
"""Contacts that one account may be given in 24 hours: each unconfirmed one causes a mail."""
_MOST_TOPICS = 50


@dataclass(frozen=True, slots=True)
class Contact:
    """An address, whose it is, and what it wants."""

    contact_id: int
    account: str | None
    """By reference; None: the operators'."""
    address: str = field(repr=False)
    topics: tuple[str, ...]
    unsubscribed: tuple[str, ...]
    """Kinds of mail that its reader has stopped; `all`: every one but receipts."""
    confirmed: bool
    created_by: str
    created_at: datetime


def add(
    session: Session,
    *,
    account: str | None,
    address: str,
    topics: Sequence[str] = ("*",),
    actor: str,
    confirmed: bool,
) -> Contact:
    """Add an address to an account, or to the operators' (None).

    `confirmed`: somebody vouches that it is theirs; otherwise a mail asks its reader to confirm it.
    Raises `UnknownAccount`, `InvalidContact`, `UnknownTopic`, `ContactExists`, `TooManyContacts`.
    """
    stored = addresses.checked(address)
    patterns = _checked_topics(topics, of_operators=account is None)
    owner = _lock_owner(session, account)
    now = clock.now()
    _check_number(session, owner, stored, now=now)
    row = NoticeContact(
        account_id=owner.id if owner else None,
        address=stored,
        topics=list(patterns),
        unsubscribed=[],
        confirmed_at=now if confirmed else None,
        created_by=actor,
        created_at=now,
        removed_at=None,
    )
    session.add(row)
    session.flush()
    if not confirmed:
        questions.ask(session, row, now=now)
    contact = _contact(row, account)
    audit.record(session, "contact.added", _subject(row.id), before=None, after=_audited(contact))
    return contact


def list_of(session: Session, *, account: str | None) -> list[Contact]:
    """Return the contacts of an account, or of the operators (None), the oldest first.

    Raises `UnknownAccount`.
    """
    owner = find_owner(session, account)
    query = select(NoticeContact).where(
        NoticeContact.account_id == owner.id if owner else NoticeContact.account_id.is_(None),
        NoticeContact.address.is_not(None),
    )
    return [_contact(row, account) for row in session.scalars(query.order_by(NoticeContact.id))]


def list_by_id(session: Session, wanted: Wanted, *, account: str | None = None) -> Page[Contact]:
    """Return contacts, the oldest first: of one account, or all with the operators'.

    Raises `UnknownAccount`.
    """
    owner = find_owner(session, account)
    query = (
        select(NoticeContact, Account.ref)
        .outerjoin(Account, Account.id == NoticeContact.account_id)
        .where(NoticeContact.address.is_not(None))
    )
    if owner is not None:
        query = query.where(NoticeContact.account_id == owner.id)
    page = read_page(session, query, wanted, by=[NoticeContact.id], descending=False)
    return page.map(lambda row: _contact(*row))


def get(session: Session, contact_id: int) -> Contact:
    """Return a contact; raises `UnknownContact`, also of one that was removed."""
    found = session.get(NoticeContact, contact_id)
    if found is None or found.address is None:
        raise UnknownContact(contact_id)
    return _contact(found, _ref_of(session, found))


def confirm(session: Session, contact_id: int) -> Contact:
    """Record that the address is its account's; again is as well. Raises `UnknownContact`."""
    row, before = _locked(session, contact_id)
    if row.confirmed_at is None:
        row.confirmed_at = clock.now()
        # Who confirms wants the mail, whatever was pressed before.
        row.unsubscribed = []
    return _record(session, "contact.confirmed", row, before)


def unsubscribe(session: Session, contact_id: int, *, kind: str) -> Contact:
    """Stop a kind of mail, or `all`, to a contact; again is as well.

    Receipts go on. Raises `UnknownContact`, `InvalidContact`.
    """
    if not can_be_stopped(kind):
        raise InvalidContact("kind", f"must be a kind of mail that can be stopped, or {EVERY_KIND}")
    row, before = _locked(session, contact_id)
    if kind not in row.unsubscribed:
        row.unsubscribed = sorted([*row.unsubscribed, kind])
    return _record(session, "contact.unsubscribed", row, before)


def resubscribe(session: Session, contact_id: int, *, kind: str | None = None) -> Contact:
    """Send a contact again what its reader has stopped: a kind, `all`, or whatever it was (None).

    Raises `UnknownContact`.
    """
    row, before = _locked(session, contact_id)
    row.unsubscribed = [] if kind is None else [one for one in row.unsubscribed if one != kind]
    return _record(session, "contact.resubscribed", row, before)


def kinds_sent_to(contact: Contact) -> list[MailKind]:
    """Return the kinds of mail that a contact is sent, in the order in which they stand."""
    of = mailed_topics(of_operators=contact.account is None)
    wanted = {kind for topic, kind in of.items() if selects(contact.topics, topic)}
    stopped = set(contact.unsubscribed)
    if EVERY_KIND in stopped or not contact.confirmed:
        wanted &= RECEIPTS
    if EVERY_KIND in stopped and not contact.confirmed:
        wanted = set()  # it is not the account's
    return [kind for kind in MailKind if kind in wanted and kind.value not in stopped]


def remove(session: Session, contact_id: int, *, account: str | None = None) -> None:
    """Remove a contact and forget its address; what is due to it is not sent.

    `account`: only if it is this account's. Raises `UnknownContact`.
    """
    row, before = _locked(session, contact_id)
    if account is not None and before.account != account:
        raise UnknownContact(contact_id)
    row.removed_at, row.address = clock.now(), None
    audit.record(
        session, "contact.removed", _subject(contact_id), before=_audited(before), after=None
    )


def _checked_topics(topics: Sequence[str], *, of_operators: bool) -> tuple[str, ...]:
    mailed = mailed_topics(of_operators=of_operators)
    asked = tuple(dict.fromkeys(topics))
    if not asked:
        raise InvalidContact("topics", "must name at least one topic, or *")
    if len(asked) > _MOST_TOPICS:
        raise InvalidContact("topics", f"must be at most {_MOST_TOPICS}")
    check_patterns(asked, mailed)
    return asked


def find_owner(session: Session, account: str | None) -> Account | None:
    """Return the account whose contacts are asked for; None: the operators'."""
    if account is None:
        return None
    found = accounts.find(session, account)
    if found is None:
        raise UnknownAccount(account)
    return found


_ADDING = 0x6E6F7469
"""The first number of the lock, which says what it is for."""


def _lock_owner(session: Session, account: str | None) -> Account | None:
    """Let one contact be added to an account at a time, so that the limits hold.

    Not the account's row: a crowd of leads locks that.
    """
    owner = find_owner(session, account)
    key = func.pg_advisory_xact_lock(_ADDING, (owner.id if owner else 0) % 2**31)
    session.execute(select(key))
    return owner


def _check_number(session: Session, owner: Account | None, address: str, *, now: datetime) -> None:
    mine = NoticeContact.account_id == owner.id if owner else NoticeContact.account_id.is_(None)
    same = select(NoticeContact.id).where(
        mine, func.lower(NoticeContact.address) == address.lower()
    )
    if (existing := session.scalar(same)) is not None:
        raise ContactExists(existing)
    count = select(func.count()).select_from(NoticeContact).where(mine)
    if (session.scalar(count.where(NoticeContact.address.is_not(None))) or 0) >= MOST_AT_ONCE:
        raise TooManyContacts(f"{MOST_AT_ONCE} contacts are the most")
    since = now - timedelta(days=1)
    if (session.scalar(count.where(NoticeContact.created_at > since)) or 0) >= MOST_A_DAY:
        raise TooManyContacts(f"{MOST_A_DAY} contacts in a day are the most")


def _locked(session: Session, contact_id: int) -> tuple[NoticeContact, Contact]:
    query = select(NoticeContact).where(NoticeContact.id == contact_id).with_for_update()
    row = session.scalars(query.execution_options(populate_existing=True)).one_or_none()
    if row is None or row.address is None:
        raise UnknownContact(contact_id)
    return row, _contact(row, _ref_of(session, row))


def _record(session: Session, action: str, row: NoticeContact, before: Contact) -> Contact:
    after = _contact(row, before.account)
    if after != before:
        audit.record(
            session, action, _subject(row.id), before=_audited(before), after=_audited(after)
        )
        session.flush()
    return after


def _ref_of(session: Session, row: NoticeContact) -> str | None:
    return None if row.account_id is None else session.get_one(Account, row.account_id).ref


def _contact(row: NoticeContact, account: str | None) -> Contact:
    return Contact(
        contact_id=row.id,
        account=account,
        address=row.address or "",
        topics=tuple(row.topics),
        unsubscribed=tuple(row.unsubscribed),
        confirmed=row.confirmed_at is not None,
        created_by=row.created_by,
        created_at=row.created_at,
    )


def _subject(contact_id: int) -> str:
    return f"contact:{contact_id}"


def _audited(contact: Contact) -> dict[str, object]:
    """Everything but the address: the log is kept for ever."""
    return {
        "account": contact.account,
        "topics": list(contact.topics),
        "unsubscribed": list(contact.unsubscribed),
        "confirmed": contact.confirmed,
    }

"""Which topic makes which kind of mail, and who may get it. Pure.

Used by contacts (what can be asked for), by `mails.py` (what is due) and by `mail_loading.py` (what
is still due when it is sent).
"""

from collections.abc import Mapping

from billing.notices.mail_facts import EVERY_KIND, MailKind
from billing.topics import Topic
from db.models import NoticeContact

OF_CUSTOMERS: Mapping[Topic, MailKind] = {
    Topic.BALANCE_LOW: MailKind.BALANCE_LOW,
    Topic.BALANCE_EXHAUSTED: MailKind.BALANCE_EXHAUSTED,
    Topic.BALANCE_IN_DEBT: MailKind.BALANCE_IN_DEBT,
    Topic.LEAD_PARKED: MailKind.LEADS_PARKED,
    Topic.PAYMENT_CAPTURED: MailKind.TOP_UP,
    # Attached by an operator after a part of it was refunded.
    Topic.PAYMENT_PARTIALLY_REFUNDED: MailKind.TOP_UP,
    Topic.REFUND_PROCESSED: MailKind.REFUND,
    Topic.DISPUTE_RESOLVED: MailKind.DISPUTE_DECIDED,
    Topic.RENEWAL_REMINDER: MailKind.RENEWAL_REMINDER,
    Topic.PLAN_DEGRADED: MailKind.PLAN_DEGRADED,
}
"""The topics that an account's contacts are mailed about."""

OF_OPERATORS: Mapping[Topic, MailKind] = {
    Topic.ENDPOINT_FAILING: MailKind.OPERATOR_ENDPOINT,
    Topic.ENDPOINT_OFF: MailKind.OPERATOR_ENDPOINT,
    Topic.CHARGEBACK_OPEN: MailKind.OPERATOR_CHARGEBACK,
    Topic.PAYMENT_UNMATCHED: MailKind.OPERATOR_PAYMENT,
    Topic.PAYMENT_QUARANTINED: MailKind.OPERATOR_PAYMENT,
}
"""The topics that the operators' contacts are mailed about."""

RECEIPTS = frozenset({MailKind.TOP_UP})
"""Sent to an address that nobody confirmed as well, and never unsubscribed."""

HOWEVER_LATE = RECEIPTS | {
    MailKind.REFUND,
    MailKind.DISPUTE_DECIDED,
    MailKind.CONFIRM_ADDRESS,  # nobody else asks
}
"""Sent also after days in which nothing was sent: each says something that no later mail says."""

DAILY = frozenset(
    {
        MailKind.BALANCE_LOW,
        MailKind.BALANCE_EXHAUSTED,
        MailKind.BALANCE_IN_DEBT,
        MailKind.LEADS_PARKED,
    }
)
"""Written at most once a local day of the account. So are reminders, each of a day of its own."""

_NEVER_STOPPED = RECEIPTS | {MailKind.CONFIRM_ADDRESS, MailKind.TEST}
_STOPPABLE = frozenset(
    {EVERY_KIND, *(kind.value for kind in MailKind if kind not in _NEVER_STOPPED)}
)


def mailed_topics(*, of_operators: bool) -> Mapping[Topic, MailKind]:
    """Return the topics that a contact of an account, or of the operators, can ask for."""
    return OF_OPERATORS if of_operators else OF_CUSTOMERS


def can_be_stopped(kind: str) -> bool:
    """Tell whether a reader can unsubscribe from a kind, or from `all`."""
    return kind in _STOPPABLE


def problem_with(contact: NoticeContact, kind: MailKind) -> str | None:
    """Return why a contact is not sent a kind of mail; None: it is sent it.

    An address that nobody confirmed gets receipts and the mail that asks to confirm it, until its
    reader stops everything: then it is not the account's.
    """
    if contact.removed_at is not None or contact.address is None:
        return "the contact was removed"
    unconfirmed = contact.confirmed_at is None
    if kind is MailKind.CONFIRM_ADDRESS:
        if not unconfirmed:
            return "the address is already confirmed"
        return "its reader has unsubscribed" if EVERY_KIND in contact.unsubscribed else None
    if unconfirmed and (kind not in RECEIPTS or EVERY_KIND in contact.unsubscribed):
        return "nobody has confirmed the address"
    if can_be_stopped(kind) and not {kind.value, EVERY_KIND}.isdisjoint(contact.unsubscribed):
        return "its reader has unsubscribed"
    return None

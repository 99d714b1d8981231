"""Whether this installation sends mail at all: SMTP_URL decides; and the mail that tries it."""

from datetime import datetime
from uuid import uuid4

import settings
from billing.notices import addresses
from billing.notices.mail_facts import MailFacts, MailKind, TestFacts
from billing.notices.zones import known_zone

OFF = "mail is off: SMTP_URL is not set"


def off_because() -> str | None:
    """Return why no mail is sent, for rows and for `billing status`; None: mail is on."""
    return None if settings.get().smtp_url else OFF


def test_mail(address: str, *, now: datetime) -> MailFacts:
    """Return the mail by which an operator tries the way to an address; it has no row.

    Raises `InvalidContact`.
    """
    return MailFacts(
        kind=MailKind.TEST,
        to=addresses.checked(address),
        message_id=f"<test-{uuid4()}@{mail_domain()}>",
        written_at=now,
        account=None,
        account_name=None,
        product=None,
        zone=known_zone(None),
        unsubscribe_url=None,
        facts=TestFacts(asked_at=now),
    )


def mail_domain() -> str:
    """Return the domain of MAIL_FROM, for Message-IDs."""
    sender = settings.get().sender
    return sender.address.rpartition("@")[2] if sender else "localhost"

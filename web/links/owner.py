"""Whose mails a page is about, as its reader knows it."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from billing import accounts
from billing.notices import contacts, renewal_offers


@dataclass(frozen=True)
class Owner:
    """An account, or the operators of this system."""

    product: str | None
    """The product's name; None: operators'."""
    name: str
    """What the mails are about: an account's name."""


def owner_of(session: Session, contact: contacts.Contact) -> Owner:
    """Return whose contact it is."""
    account = accounts.find(session, contact.account) if contact.account else None
    if account is None:
        return Owner(None, "this billing system")
    return Owner(renewal_offers.product_name(account.product), account.name)

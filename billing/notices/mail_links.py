"""The signed addresses in mails: to unsubscribe, to confirm an address, to pay for a renewal.

A token names rows by number and holds nothing of a person. It gives no rights beyond its own act,
which the pages do on POST only: what scans mail follows links. The pages (`web/`) read the tokens.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import settings
from billing.notices.mail_facts import MailKind
from billing.notices.mail_rules import can_be_stopped
from errors import PermanentError
from service import signing
from service.signing import BadToken, ExpiredToken, Label

CONFIRM_WITHIN = timedelta(days=7)
PAY_WITHIN = timedelta(days=60)
"""The first reminder comes 30 days before the due day, and grace is over 15 after it."""


class LinkOutOfUse(PermanentError):
    """A link was signed here, and is too old; a newer mail has a newer one."""

    def __init__(self, link: "ConfirmLink | PayLink") -> None:
        super().__init__("this link is too old: a newer mail has a newer one")
        self.link = link
        """What it was for: enough to explain, and no proof any longer."""


@dataclass(frozen=True, slots=True)
class UnsubscribeLink:
    """Stop a kind of mail to a contact."""

    contact_id: int
    kind: str
    """A `MailKind`, or `all`."""


@dataclass(frozen=True, slots=True)
class ConfirmLink:
    """Show that a contact's address is read by whom it should be."""

    contact_id: int


@dataclass(frozen=True, slots=True)
class PayLink:
    """Show an account's owner what its renewal costs, and lead on to pay."""

    account_id: int
    due_on: date
    """The due day that the mail spoke of; once it is paid, the account's is later."""


def unsubscribe_url(contact_id: int, kind: MailKind | str) -> str:
    """Return the address of List-Unsubscribe; `all` stops every kind. Raises `NoWebSecret`."""
    token = signing.sign(Label.UNSUBSCRIBE, {"c": contact_id, "k": str(kind)})
    return f"{_base()}/notices/unsubscribe/{token}"


def confirm_url(contact_id: int) -> str:
    """Return the address at which a contact is confirmed within `CONFIRM_WITHIN`."""
    return f"{_base()}/l/{signing.sign(Label.LINK, {'do': 'confirm', 'c': contact_id})}"


def pay_url(account_id: int, *, due_on: date) -> str:
    """Return the address that shows what a renewal costs; it is good for `PAY_WITHIN`."""
    payload = {"do": "pay", "a": account_id, "due": due_on.isoformat()}
    return f"{_base()}/l/{signing.sign(Label.LINK, payload)}"


def pay_url_expires_at(signed_at: datetime) -> datetime:
    """Return when a link to pay that was signed at a moment stops to work."""
    return signed_at + PAY_WITHIN


def read_unsubscribe(token: str) -> UnsubscribeLink:
    """Return what a token of `unsubscribe_url` says; it never ages. Raises `BadToken`."""
    payload = signing.read(Label.UNSUBSCRIBE, token, max_age=None)
    try:
        contact_id, kind = int(payload["c"]), str(payload["k"])
    except (KeyError, TypeError, ValueError):
        raise BadToken from None
    if not can_be_stopped(kind):
        raise BadToken
    return UnsubscribeLink(contact_id, kind)


def read_link(token: str) -> ConfirmLink | PayLink:
    """Return what a token of the other links says. Raises `BadToken`, `LinkOutOfUse`."""
    link = _link(signing.read(Label.LINK, token, max_age=None))
    max_age = CONFIRM_WITHIN if isinstance(link, ConfirmLink) else PAY_WITHIN
    try:
        signing.read(Label.LINK, token, max_age=max_age)
    except ExpiredToken:
        raise LinkOutOfUse(link) from None
    return link


def _link(payload: dict[str, object]) -> ConfirmLink | PayLink:
    try:
        match payload["do"]:
            case "confirm":
                return ConfirmLink(int(str(payload["c"])))
            case "pay":
                due_on = date.fromisoformat(str(payload["due"]))
                return PayLink(int(str(payload["a"])), due_on)
    except (KeyError, ValueError):
        pass
    raise BadToken


def _base() -> str:
    return settings.get().web_address.rstrip("/")

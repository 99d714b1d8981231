"""Makes the message of a mail: text, HTML and headers.

`letters/` says what the mail says, the two layouts in `templates/` show it. The HTML is made by
Jinja2 with autoescape; nothing but a checked address of ours or of the catalog becomes a link.

Called through `notify.mail.compose`.
"""

import hashlib
import re
import textwrap
from email.header import Header
from email.headerregistry import Address, BaseHeader, HeaderRegistry, SingleAddressHeader
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy, Policy
from email.utils import formataddr
from typing import Any

import jinja2

from billing.notices.mail_facts import MailFacts
from notify.mail.errors import UnsafeMail
from notify.mail.letters import Letter, letter_of
from notify.mail.wording import account_line, product
from settings import Sender

TEXT_WIDTH = 72
HEADER_MAX_LENGTH = 900
"""Of a value that cannot be folded: a line may have 998 characters (RFC 5322, 2.1.1)."""

_LOCAL_PART = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
_DOMAIN = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_MESSAGE_ID = re.compile(r"<[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+>")
_LINK = re.compile(r"https?://[A-Za-z0-9.!#$%&'()*+,/:;=?@_~\[\]-]+")


class _Line(BaseHeader):
    """A header as it was given: nothing in it is decoded or folded, but encoded if it must be.

    The library's own folding would encode a long address, which no reader finds then, and loses or
    adds blanks around words that are not ASCII.
    """

    max_count = 1

    @staticmethod
    def parse(value: str, kwds: dict[str, Any]) -> None:
        """Take the value as it is: an encoded word in it is text."""
        kwds |= {"decoded": value, "parse_tree": None}

    def fold(self, *, policy: Policy) -> str:
        """Return the header as it is sent."""
        return f"{self.name}: {_encoded(str(self))}{policy.linesep}"


class _From(SingleAddressHeader):
    """One sender, whose name is encoded as a whole."""

    def fold(self, *, policy: Policy) -> str:
        """Return the header as it is sent."""
        name, address = self.address.display_name, self.address.addr_spec
        encoded = _encoded(name)
        shown = formataddr((name, address)) if encoded == name else f"{encoded} <{address}>"
        return f"From: {shown}{policy.linesep}"


def _encoded(text: str) -> str:
    """Return text for a header: as it is, or as words of RFC 2047 that are cut between letters."""
    if text.isascii() and "=?" not in text:
        return text
    return Header(text, charset="utf-8", maxlinelen=60).encode(linesep="\r\n")


def _policy() -> "EmailPolicy[EmailMessage]":
    headers = HeaderRegistry()
    for name in ("subject", "message-id", "list-unsubscribe"):
        headers.map_to_type(name, _Line)
    headers.map_to_type("from", _From)  # type: ignore[arg-type] # it adds the base itself
    # 7bit: what is not ASCII is encoded, so that every server takes it.
    return SMTP.clone(cte_type="7bit", header_factory=headers)


_POLICY = _policy()


def compose(mail: MailFacts, *, sender: Sender) -> EmailMessage:
    """Return the mail as text and HTML, with its headers; the same facts give the same bytes.

    Raises `UnsafeMail` if a header or link would hold a line end or is no address.
    """
    letter = letter_of(mail)
    message = EmailMessage(policy=_POLICY)
    message["From"] = _sender(sender)
    message["To"] = _recipient(mail.to)
    message["Subject"] = _on_one_line("subject", letter.subject)
    message["Date"] = mail.written_at
    message["Message-ID"] = _matching("Message-ID", _MESSAGE_ID, mail.message_id)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence answers it
    if mail.unsubscribe_url:
        message["List-Unsubscribe"] = f"<{_link(mail.unsubscribe_url)}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058
    for link in (letter.link,) if letter.link else ():
        _link(link.url)
    message.set_content(_shown("letter.txt", mail, letter))
    message.add_alternative(_shown("letter.html", mail, letter), subtype="html")
    message.set_boundary(f"=_{hashlib.sha256(mail.message_id.encode()).hexdigest()[:40]}")
    return message


def _sender(sender: Sender) -> Address:
    return Address(
        _on_one_line("sender", sender.name), addr_spec=_on_one_line("sender", sender.address)
    )


def _recipient(text: str) -> Address:
    """Return an address as the server takes it: a domain of other letters in its ASCII form."""
    local, _, domain = text.rpartition("@")
    if not local.isascii():
        raise UnsafeMail("the address is not ASCII before its @: such mails are not sent")
    try:
        domain = domain.encode("idna").decode()
    except UnicodeError:
        raise UnsafeMail("the address has a domain that cannot be") from None
    return Address(
        username=_matching("address", _LOCAL_PART, local),
        domain=_matching("address", _DOMAIN, domain),
    )


def _matching(what: str, pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text) or len(text) > HEADER_MAX_LENGTH:
        raise UnsafeMail(f"the {what} cannot stand in a mail")
    return text


def _link(url: str) -> str:
    return _matching("link", _LINK, url)


def _on_one_line(what: str, text: str) -> str:
    if re.search("[\x00-\x1f\x7f]", text):
        raise UnsafeMail(f"the {what} holds a line end or a control character")
    return text


def _shown(template: str, mail: MailFacts, letter: Letter) -> str:
    return _TEMPLATES.get_template(template).render(
        letter=letter,
        product=product(mail),
        account=account_line(mail) if mail.account else None,
        zone=mail.zone,
        unsubscribe_url=mail.unsubscribe_url,
    )


def _wrapped(text: str, hanging: int = 0) -> str:
    """Return lines of at most `TEXT_WIDTH`; an address or id stays whole."""
    return textwrap.fill(
        text,
        TEXT_WIDTH,
        subsequent_indent=" " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("notify.mail"),
    autoescape=jinja2.select_autoescape(["html"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES.filters["wrapped"] = _wrapped

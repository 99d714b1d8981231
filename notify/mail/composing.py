"""Makes the message of a mail: text, HTML and headers."""

from email.message import EmailMessage

from billing.notices.mail_facts import MailFacts
from settings import Sender


def compose(mail: MailFacts, *, sender: Sender) -> EmailMessage:
    """Return the mail as text and HTML, with its headers; the same facts give the same mail.

    Raises `UnsafeMail` if a header or link would hold a line end or is no address.
    """
    raise NotImplementedError

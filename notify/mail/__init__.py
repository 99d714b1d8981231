"""Mails: composed of facts, and handed to the mail server.

`tasks/notices/mail.py` and `billing notices send-test-mail` call it: `compose` makes the message of
one `MailFacts`, `send` hands it to the server of SMTP_URL. Neither decides who gets what.
"""

from notify.mail.composing import compose
from notify.mail.errors import MailNotNow, MailRefused, UnsafeMail
from notify.mail.smtp import send

__all__ = ["MailNotNow", "MailRefused", "UnsafeMail", "compose", "send"]

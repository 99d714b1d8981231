"""Hands one mail to the server of SMTP_URL."""

from email.message import EmailMessage

from settings import SmtpAddress


def send(message: EmailMessage, *, server: SmtpAddress) -> None:
    """Hand the mail to the server, for the one recipient of its `To`.

    Raises `MailRefused` if it can never be sent, and `MailNotNow` if it can be later.
    """
    raise NotImplementedError

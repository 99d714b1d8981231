"""What notices need: the secret that signs links, where links lead, and a server for mails."""

import smtplib
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from cli.examinations.diagnosis import Diagnosis, attention, broken, well
from settings import Settings, SettingsError
from settings.mail import SmtpAddress

TIMEOUT_SECONDS = 5
_HOW_TO_MAKE_ONE = "make one with `openssl rand -base64 32`, and give it to every process"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def examine(known: Settings) -> Iterator[Diagnosis]:
    """Yield whether notices can be signed, links lead somewhere, and mails can be sent."""
    if known.web_secrets:
        yield well("web secrets", f"WEB_SECRETS: {len(known.web_secrets)}")
    else:
        detail = "WEB_SECRETS is not set: no endpoint of notices can be added, and no mail sent"
        yield attention("web secrets", detail, _HOW_TO_MAKE_ONE)
    yield from _pages(known)
    if known.smtp is None:
        yield well("mail", "is off: SMTP_URL is not set")
    else:
        yield _mail_server(known.smtp)


def _pages(known: Settings) -> Iterator[Diagnosis]:
    try:
        address = known.web_address
    except SettingsError:
        return  # the examination of the listeners says why
    parts = urlsplit(address)
    if parts.scheme == "https" or parts.hostname in _LOOPBACK:
        yield well("pages", f"links lead to {address}")
    else:
        detail = f"links lead to {address}, in the clear"
        yield attention("pages", detail, "set WEB_URL to an address with https://")


def _mail_server(server: SmtpAddress) -> Diagnosis:
    """Connect, secure and log in as the sender of mails does; nothing is sent."""
    where = f"{server.host}:{server.port}"
    try:
        _try(server)
    except smtplib.SMTPAuthenticationError:
        return broken("mail", f"{where} refuses user and password", "correct SMTP_URL")
    except ssl.SSLCertVerificationError as error:
        detail = f"the certificate of {where} is not valid: {error.verify_message}"
        return broken("mail", detail, "correct the host in SMTP_URL, or its certificate")
    except smtplib.SMTPNotSupportedError:
        return broken("mail", f"{where} offers no TLS, or no log-in", "correct SMTP_URL")
    except (OSError, smtplib.SMTPException) as error:
        detail = f"{where} cannot be reached ({type(error).__name__})"
        return broken("mail", detail, "start it, or correct SMTP_URL")
    return well("mail", f"{where} takes mails")


def _try(server: SmtpAddress) -> None:
    context = ssl.create_default_context()
    if server.security == "tls":
        connection: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host, server.port, timeout=TIMEOUT_SECONDS, context=context
        )
    else:
        connection = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS)
    with connection:
        if server.security == "starttls":
            connection.starttls(context=context)
        if server.user:
            connection.login(server.user, server.password)
        connection.noop()

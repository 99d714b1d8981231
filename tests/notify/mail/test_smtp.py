"""The way to the mail server: real servers with and without TLS, and servers that misbehave."""

import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from billing.notices.mail_facts import MailKind
from notify.mail import MailNotNow, MailRefused, compose, send
from notify.mail.smtp import Limits
from settings import SmtpAddress
from settings.mail import read_server
from tests.notify.mail import given, mail_servers
from tests.notify.mail.mail_servers import PASSWORD, USER, Inbox, raw_server, real_server

MAIL = compose(given.ordinary(MailKind.BALANCE_LOW), sender=given.SENDER)
SHORT = Limits(connect_seconds=0.5, whole_seconds=0.5)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process trusts the authority, as an operator's does by the system's store."""
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))


def context_of(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_a_mail_reaches_the_one_recipient_from_the_one_sender() -> None:
    inbox = Inbox()
    with real_server(inbox) as server:
        send(MAIL, server=server)

    [(sender, recipients, _)] = inbox.envelopes
    assert (sender, recipients) == ("billing@market.example", ["accounts@sunrise.example"])


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("way", ["starttls", "tls"])
def test_tls_and_a_password_of_any_characters(authority: trustme.CA, way: str) -> None:
    inbox = Inbox()
    with real_server(inbox, **{way: context_of(authority)}) as server:
        scheme = {"starttls": "smtp+starttls", "tls": "smtps"}[way]
        url = f"{scheme}://postmaster%40market.example:p%40ss%2Fw%3Ard%20%2541@localhost"
        send(MAIL, server=read_server(f"{url}:{server.port}"))

    assert set(inbox.logged_in) == {(USER, PASSWORD)}
    assert len(inbox.envelopes) == 1


@pytest.mark.usefixtures("trusted")
def test_a_wrong_password_kills_no_mail(authority: trustme.CA) -> None:
    inbox = Inbox()
    with (
        real_server(inbox, starttls=context_of(authority)) as server,
        pytest.raises(MailNotNow, match=r"did not accept user and password \(535\)") as caught,
    ):
        send(MAIL, server=replace(server, password="another"))

    assert "another" not in str(caught.value)
    assert not inbox.envelopes


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("way", ["starttls", "tls"])
def test_a_certificate_for_another_name_gets_neither_password_nor_mail(
    authority: trustme.CA, way: str
) -> None:
    inbox = Inbox()
    wrong = context_of(authority, "other.example")
    with (
        real_server(inbox, **{way: wrong}) as server,
        pytest.raises(MailNotNow, match=r"certificate is not valid.*localhost"),
    ):
        send(MAIL, server=server)

    assert not inbox.logged_in
    assert not inbox.envelopes


def test_a_certificate_of_an_unknown_authority_gets_nothing(authority: trustme.CA) -> None:
    inbox = Inbox()
    with (
        real_server(inbox, starttls=context_of(authority)) as server,
        pytest.raises(MailNotNow, match="certificate is not valid"),
    ):
        send(MAIL, server=server)

    assert not inbox.logged_in


def test_a_server_without_starttls_gets_nothing_in_the_clear() -> None:
    inbox = Inbox()
    with (
        real_server(inbox) as server,
        pytest.raises(MailNotNow, match="does not offer STARTTLS, and mails never go in the clear"),
    ):
        send(MAIL, server=replace(server, security="starttls", user=USER, password=PASSWORD))

    assert not inbox.envelopes


@pytest.mark.parametrize(
    ("step", "what"), [("MAIL", "the sender"), ("RCPT", "the recipient"), ("DATA", "the text")]
)
def test_5xx_about_the_mail_makes_it_dead_and_4xx_does_not(step: str, what: str) -> None:
    inbox = Inbox({step: "550 5.1.1 <accounts@sunrise.example> is unknown"})
    with real_server(inbox) as server:
        with pytest.raises(MailRefused) as refused:
            send(MAIL, server=server)
        inbox.answers[step] = "451 4.7.1 accounts@sunrise.example: greylisted, come back"
        with pytest.raises(MailNotNow) as not_now:
            send(MAIL, server=server)
        inbox.answers.clear()
        send(MAIL, server=server)

    assert str(refused.value) == f"the mail server refused {what} with 550 5.1.1"
    assert str(not_now.value) == f"the mail server did not take {what} now: 451 4.7.1"
    assert len(inbox.envelopes) == 1


def test_a_server_that_wants_a_log_in_kills_no_mail() -> None:
    inbox = Inbox({"MAIL": "530 5.7.0 Authentication required"})
    with real_server(inbox) as server, pytest.raises(MailNotNow, match=r"530 5\.7\.0"):
        send(MAIL, server=server)


def test_a_log_in_at_a_server_that_knows_none_is_tried_again() -> None:
    with real_server(Inbox()) as server, pytest.raises(MailNotNow, match="offers no log-in"):
        send(MAIL, server=replace(server, user=USER, password=PASSWORD))


@pytest.mark.parametrize(
    ("behave", "problem"),
    [
        (mail_servers.hang, " was not done within 0.5 s"),
        (mail_servers.drip, " was not done within 0.5 s"),
        (mail_servers.hang_after_text, " was not done within 0.5 s"),
        (mail_servers.talk_on, "'s answer has no end"),
        (mail_servers.drop, " ended the connection"),
        (mail_servers.no_smtp, " greeted with -1"),
        (mail_servers.refuse_all, " greeted with 554"),
    ],
)
def test_a_server_that_misbehaves_is_tried_again_and_holds_nobody_up(
    behave: Callable[..., None], problem: str
) -> None:
    with raw_server(behave) as server:
        began = time.monotonic()
        with pytest.raises(MailNotNow) as caught:
            send(MAIL, server=server, limits=SHORT)

    assert str(caught.value) == f"the mail server{problem}"
    assert time.monotonic() - began < 3


def test_a_server_that_hangs_in_the_handshake_holds_nobody_up() -> None:
    with raw_server(mail_servers.hang) as server:
        began = time.monotonic()
        with pytest.raises(MailNotNow, match=r"was not done within 0\.5 s"):
            send(MAIL, server=replace(server, security="tls"), limits=SHORT)

    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        (SmtpAddress("127.0.0.1", 1, "none"), r"could not be reached \(ConnectionRefusedError\)"),
        (
            SmtpAddress("no-such-host.invalid", 587, "starttls"),
            r"could not be reached \(gaierror\)",
        ),
        (SmtpAddress(f"{'x' * 70}.example", 587, "starttls"), "could not be reached"),
    ],
)
def test_a_server_that_is_not_there_is_tried_again(server: SmtpAddress, problem: str) -> None:
    with pytest.raises(MailNotNow, match=problem):
        send(MAIL, server=server, limits=SHORT)


def test_what_the_server_answers_stays_out_of_errors() -> None:
    with (
        raw_server(mail_servers.refuse_all) as server,
        pytest.raises(MailNotNow) as caught,
    ):
        send(MAIL, server=server, limits=SHORT)

    assert "secret-host" not in str(caught.value)
    assert caught.value.__cause__ is None

"""Every mail with ordinary, minimal, huge and hostile facts, as it arrives at a mail server."""

from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from html.parser import HTMLParser

import pytest

from billing.notices.mail_facts import FACTS_OF, MailFacts, MailKind
from notify.mail import UnsafeMail, compose, send
from notify.mail.letters import WRITERS, letter_of
from settings import Sender, SmtpAddress
from tests.notify.mail import given
from tests.notify.mail.mail_servers import Inbox, real_server

EVERY = [(kind, world) for kind in MailKind for world in given.WORLDS]
TAGS = {
    "html", "head", "meta", "title", "style", "body", "div", "p", "h1", "span", "a", "br",
}  # fmt: skip


class Page(HTMLParser):
    """What is in a mail's HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links |= {value or "" for name, value in attrs if name in {"href", "src"}}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert isinstance(body, EmailMessage)
    return str(body.get_content())


def text_of(mail: MailFacts) -> str:
    """The mail's text with each line end as a blank."""
    return " ".join(part(compose(mail, sender=given.SENDER), "plain").split())


@pytest.fixture(scope="module")
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture(scope="module")
def server(inbox: Inbox) -> Iterator[SmtpAddress]:
    with real_server(inbox) as address:
        yield address


def test_each_kind_has_its_letter() -> None:
    assert set(WRITERS) == set(MailKind) == set(FACTS_OF) == set(given.ORDINARY)


@pytest.mark.parametrize(("kind", "world"), EVERY)
def test_each_mail_arrives_whole_and_harmless(
    kind: MailKind, world: str, inbox: Inbox, server: SmtpAddress
) -> None:
    """Given facts of any kind, when sent, the receiver reads what was meant and no more."""
    mail = given.WORLDS[world](kind)

    send(compose(mail, sender=given.SENDER), server=server)

    arrived = inbox.newest()
    letter = letter_of(mail)
    assert sorted(set(arrived.keys())) == sorted(arrived.keys()), "a header stands twice"
    assert "Bcc" not in arrived
    assert arrived["Subject"] == letter.subject
    assert not arrived.defects
    assert all(not value.defects for value in arrived.values())
    content = inbox.envelopes[-1][2]
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) < 998
    text, page = part(arrived, "plain"), Page(part(arrived, "html"))
    assert page.tags <= TAGS
    assert page.attributes <= {"style", "class", "href", "lang", "charset", "name", "content"}
    links = {letter.link.url} if letter.link else set()
    links |= {mail.unsubscribe_url} if mail.unsubscribe_url else set()
    assert page.links == links
    assert all(link in text for link in links)
    for shown in (text, "".join(page.texts)):
        joined = "".join(shown.split())
        for said in (letter.heading, *letter.paragraphs, *(v for _, v in letter.figures)):
            assert "".join(said.split()) in joined
        assert "\u202e" not in shown
        assert "None" not in shown
        assert mail.zone in shown
    assert len(content) < 100_000


@pytest.mark.parametrize("kind", MailKind)
def test_the_same_facts_give_the_same_bytes(kind: MailKind) -> None:
    once, again = (compose(given.mail(kind), sender=given.SENDER) for _ in range(2))

    assert once.as_bytes() == again.as_bytes()


@pytest.mark.parametrize("kind", MailKind)
def test_the_headers_let_programs_handle_the_mail(kind: MailKind) -> None:
    raw = compose(given.mail(kind), sender=given.SENDER).as_bytes().split(b"\r\n\r\n")[0]
    headers = raw.decode().split("\r\n")

    assert f"Message-ID: <ntc_4711.{kind}@market.example>" in headers
    assert "Date: Mon, 30 Nov 2026 15:15:00 +0000" in headers
    assert "Auto-Submitted: auto-generated" in headers
    assert "From: Clinic marketplace <billing@market.example>" in headers
    assert "To: accounts@sunrise.example" in headers
    one_click = [
        f"List-Unsubscribe: <{given.UNSUBSCRIBE_URL}>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
    ]
    assert [line for line in headers if line.startswith("List-")] == (
        [] if kind in given.NEVER_STOPPED else one_click
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("to", "a@b.example\r\nBcc: thief@evil.example"),
        ("to", "a@b.example, thief@evil.example"),
        ("to", "a@b.example\n"),
        ("to", "Name <a@b.example>"),
        ("to", "a b@c.example"),
        ("to", "a@"),
        ("to", "a@b..example"),
        ("to", "no-at"),
        ("to", "आ@b.example"),
        ("message_id", "<a@b.example>\r\nX: y"),
        ("message_id", "a@b.example"),
        ("unsubscribe_url", "https://b.example/x>\r\nX: y"),
        ("unsubscribe_url", "https://b.example/a b"),
        ("unsubscribe_url", "javascript:alert(1)"),
        ("unsubscribe_url", f"https://b.example/{'x' * 900}"),
    ],
)
def test_what_cannot_stand_in_a_header_makes_the_mail_dead(field: str, value: str) -> None:
    with pytest.raises(UnsafeMail) as caught:
        compose(
            given.mail(MailKind.BALANCE_LOW, None, **{field: value}),
            sender=given.SENDER,
        )

    assert "b.example" not in str(caught.value)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://b.example/\r\nx", "//b.example"])
def test_a_link_to_press_is_an_address_of_the_web(url: str) -> None:
    facts = given.ORDINARY[MailKind.CONFIRM_ADDRESS]
    with pytest.raises(UnsafeMail, match="link"):
        compose(
            given.mail(MailKind.CONFIRM_ADDRESS, given.changed(facts, confirm_url=url)),
            sender=given.SENDER,
        )


def test_a_sender_with_a_line_end_sends_nothing() -> None:
    with pytest.raises(UnsafeMail, match="sender"):
        compose(given.mail(MailKind.TEST), sender=Sender("a@b.example", "A\r\nBcc: c@d.example"))


@pytest.mark.parametrize(
    "name",
    [
        "Süd, Kliniken & Söhne " * 6,
        'Dr. "Q", Ltd',
        "शिव आयुर्वेद, मुंबई",
        "=?utf-8?q?=0D=0ABcc:_thief=40evil.example?=",
    ],
)
def test_a_sender_of_any_name_stays_one_sender(
    name: str, inbox: Inbox, server: SmtpAddress
) -> None:
    send(
        compose(given.mail(MailKind.TEST), sender=Sender("billing@market.example", name.strip())),
        server=server,
    )

    # Python's newer reader leaves the blanks between encoded words in (RFC 2047, 6.2: they go).
    encoded, address = parseaddr(message_from_bytes(inbox.envelopes[-1][2])["From"])
    assert address == "billing@market.example"
    assert str(make_header(decode_header(encoded))) == name.strip()


def test_a_domain_of_other_letters_is_reached_by_its_ascii_form() -> None:
    message = compose(given.mail(MailKind.TEST, to="post@bücher.example"), sender=given.SENDER)

    assert message["To"] == "post@xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("days", "status", "subject"),
    [
        (-30, "due_soon", "PharmaPulse One is due for renewal in 30 days"),
        (-7, "due_soon", "PharmaPulse One is due for renewal in 7 days"),
        (-1, "due_soon", "PharmaPulse One is due for renewal tomorrow"),
        (0, "past_due", "PharmaPulse One is due for renewal today"),
        (1, "past_due", "PharmaPulse One was due for renewal yesterday"),
        (7, "past_due", "PharmaPulse One was due for renewal 7 days ago"),
        (15, "degraded", "PharmaPulse One was not renewed, and is now limited"),
    ],
)
def test_a_reminder_says_when_what_follows_and_how_to_pay(
    days: int, status: str, subject: str
) -> None:
    facts = given.renewal(days, status=status)
    mail = given.mail(MailKind.RENEWAL_REMINDER, facts)

    assert letter_of(mail).subject == f"{subject} (Lotus Pharmacy)"
    text = text_of(mail)
    assert "One more year, GST included: ₹1,000" in text
    assert f"See the renewal and pay: {facts.pay_url}" in text
    assert "no further monthly credits are given. The credit that is there stays" in text


def test_a_reminder_without_a_price_says_whom_to_ask() -> None:
    facts = given.renewal(-7, price_paise=None, pay_url=None, pay_url_expires_at=None)

    text = text_of(given.mail(MailKind.RENEWAL_REMINDER, facts))

    assert "no longer sold. Please ask PharmaPulse One what can take its place." in text


def test_amounts_are_grouped_as_in_india_and_times_are_those_of_the_account() -> None:
    text = text_of(given.mail(MailKind.TOP_UP))

    assert "Paid, GST included: ₹1,00,000 " in text
    assert "1,25,000 credits were added to Sunrise Clinic, of which 25,000 credits as a" in text
    assert "Paid on: 30 November 2026, 20:45 " in text
    assert "Days and times are in the time zone Asia/Kolkata." in text
    in_new_york = given.mail(MailKind.TOP_UP, zone="America/New_York")
    assert "Paid on: 30 November 2026, 10:15 " in text_of(in_new_york)


def test_a_receipt_for_a_plan_names_its_last_paid_day() -> None:
    facts = given.changed(
        given.ORDINARY[MailKind.TOP_UP],
        plan="PharmaPulse One",
        credits=0,
        bonus_credits=0,
        paid_until=(given.AT + timedelta(days=365)).date(),
    )

    text = text_of(given.mail(MailKind.TOP_UP, facts))

    assert "Paid up to and including: 29 November 2027" in text
    assert "added" not in text


def test_a_digest_lists_the_oldest_and_counts_the_rest() -> None:
    text = text_of(given.mail(MailKind.LEADS_PARKED, given.parked_leads(500)))

    assert "500 leads wait for credit" in text
    assert "- lead_2026_11_0000: 320 credits, since 29 November 2026, 14:45" in text
    assert "lead_2026_11_0050" not in text
    assert "and 450 more leads" in text
    assert "Missing: 1,59,860 credits" in text


def test_a_rejected_dispute_says_that_the_lead_stays_charged() -> None:
    facts = given.changed(
        given.ORDINARY[MailKind.DISPUTE_DECIDED], accepted=False, credits_refunded=0
    )

    assert "rejected. The lead stays charged" in text_of(
        given.mail(MailKind.DISPUTE_DECIDED, facts)
    )


def test_an_id_cannot_break_out_of_a_command_to_paste() -> None:
    facts = given.changed(given.ORDINARY[MailKind.OPERATOR_PAYMENT], payment_id="x; rm -rf $HOME")

    letter = letter_of(given.mail(MailKind.OPERATOR_PAYMENT, facts))

    assert letter.commands[0] == "billing payments show 'x; rm -rf $HOME'"


def test_facts_of_another_kind_are_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError, match="top_up cannot say BalanceFacts"):
        letter_of(given.mail(MailKind.TOP_UP, given.ORDINARY[MailKind.BALANCE_LOW]))

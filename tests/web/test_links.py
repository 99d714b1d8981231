"""The pages that links in mails open: they show on GET, act on POST, and say what to do next."""

from datetime import timedelta

import pytest

import clock
from billing import accounts
from billing.calendar import local_day_of
from billing.notices import contacts, mail_links
from billing.notices.contacts import Contact
from billing.notices.mail_facts import MailKind
from db.session import transaction
from tests.billing.plans import given as plans
from tests.web.web_process import WebProcess, text_of

pytestmark = pytest.mark.usefixtures("house")


@pytest.fixture
def clinic(number: int) -> str:
    ref = f"clinic:{number}"
    with transaction() as session:
        accounts.create(session, ref=ref, name="Zähne <& Söhne>", product="clinic_leads")
    return ref


def a_contact(account: str | None, *, confirmed: bool = True) -> Contact:
    with transaction() as session:
        return contacts.add(
            session, account=account, address="owner@clinic.example", topics=("*",),
            actor="test", confirmed=confirmed,
        )  # fmt: skip


def now(contact: Contact) -> Contact:
    with transaction() as session:
        return contacts.get(session, contact.contact_id)


def test_a_link_shows_what_it_stops_and_only_the_button_stops_it(
    web: WebProcess, clinic: str
) -> None:
    # Given a contact that gets every mail
    contact = a_contact(clinic)
    url = mail_links.unsubscribe_url(contact.contact_id, MailKind.BALANCE_LOW)

    # When a scanner, or its reader, opens the link
    opened = web.open(url)

    # Then it says what the button does, and nothing was stopped
    assert opened.status == 200
    shown = text_of(opened)
    assert "Stop these mails? Mails about: low credit for Zähne <& Söhne>," in shown
    assert "to owner@clinic.example" in shown
    assert "What still comes" in shown
    assert "receipts for payments" in shown
    assert now(contact).unsubscribed == ()

    # When the button is pressed, twice
    pressed = [web.press(url) for _ in range(2)]

    # Then the kind is stopped, and the page offers to undo it
    assert [answer.status for answer in pressed] == [200, 200]
    assert "These mails are stopped" in text_of(pressed[0])
    assert "Send them again" in text_of(pressed[1])
    assert now(contact).unsubscribed == ("balance_low",)
    assert "These mails are stopped" in text_of(web.open(url))

    # When that is pressed
    undone = web.press(url, undo="1")
    assert "These mails are sent again" in text_of(undone)
    assert now(contact).unsubscribed == ()


@pytest.mark.parametrize("kind", [MailKind.BALANCE_LOW, "all"])
def test_a_mail_program_unsubscribes_by_one_click(
    web: WebProcess, clinic: str, kind: MailKind | str
) -> None:
    """RFC 8058, 3.2: POST with this body, without cookies; a redirect is not followed."""
    contact = a_contact(clinic)
    url = mail_links.unsubscribe_url(contact.contact_id, kind)

    answer = web.press(url, **{"List-Unsubscribe": "One-Click"})

    assert answer.status == 200
    assert "set-cookie" not in answer.headers
    assert now(contact).unsubscribed == (str(kind),)


def test_one_click_may_come_as_a_multipart_form(web: WebProcess, clinic: str) -> None:
    contact = a_contact(clinic)
    url = mail_links.unsubscribe_url(contact.contact_id, MailKind.REFUND)
    path = url.removeprefix(url.partition("/notices/")[0])
    body = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n'
    body += b"--x--\r\n"

    answer = web.request(
        "POST", path, body, [("content-type", 'multipart/form-data; boundary="x"')]
    )

    assert answer.status == 200
    assert now(contact).unsubscribed == ("refund",)


def test_undo_brings_back_its_own_kind_alone(web: WebProcess, clinic: str) -> None:
    contact = a_contact(clinic)
    for kind in (MailKind.REFUND, MailKind.BALANCE_LOW):
        web.press(mail_links.unsubscribe_url(contact.contact_id, kind))

    web.press(mail_links.unsubscribe_url(contact.contact_id, MailKind.REFUND), undo="1")

    assert now(contact).unsubscribed == ("balance_low",)


def test_who_stops_everything_still_gets_receipts_unless_the_address_is_not_confirmed(
    web: WebProcess, clinic: str
) -> None:
    confirmed = a_contact(clinic)
    shown = text_of(web.press(mail_links.unsubscribe_url(confirmed.contact_id, "all")))
    assert "All mails but receipts" in shown
    assert "Receipts for payments still come" in shown

    with transaction() as session:
        contacts.remove(session, confirmed.contact_id)
    stranger = a_contact(clinic, confirmed=False)
    shown = text_of(web.press(mail_links.unsubscribe_url(stranger.contact_id, "all")))
    assert "nothing at all is sent to it" in shown


def test_an_operator_unsubscribes_as_well(web: WebProcess) -> None:
    contact = a_contact(None)

    shown = text_of(
        web.press(mail_links.unsubscribe_url(contact.contact_id, MailKind.OPERATOR_PAYMENT))
    )

    assert "payments that need a person for this billing system" in shown
    assert "chargebacks" in shown


def test_a_removed_address_is_told_that_nothing_comes(web: WebProcess, clinic: str) -> None:
    contact = a_contact(clinic)
    url = mail_links.unsubscribe_url(contact.contact_id, MailKind.REFUND)
    with transaction() as session:
        contacts.remove(session, contact.contact_id)

    answers = [web.open(url), web.press(url)]

    assert [answer.status for answer in answers] == [200, 200]
    assert all("You get no more mails" in text_of(answer) for answer in answers)


def test_an_address_is_confirmed_by_the_button(web: WebProcess, clinic: str) -> None:
    contact = a_contact(clinic, confirmed=False)
    url = mail_links.confirm_url(contact.contact_id)

    shown = text_of(web.open(url))

    assert "Confirm your address" in shown
    assert "Zähne <& Söhne>" in shown
    assert not now(contact).confirmed
    assert "This address is confirmed" in text_of(web.press(url))
    assert now(contact).confirmed
    assert "This address is confirmed" in text_of(web.press(url))


def test_a_link_that_is_too_old_says_so_and_acts_no_more(web: WebProcess, clinic: str) -> None:
    contact = a_contact(clinic, confirmed=False)
    with clock.frozen(clock.real_now() - timedelta(days=8)):
        url = mail_links.confirm_url(contact.contact_id)

    answers = [web.open(url), web.press(url)]

    assert [answer.status for answer in answers] == [410, 410]
    assert all("good for 7 days" in text_of(answer) for answer in answers)
    assert not now(contact).confirmed


def test_a_link_of_a_removed_address_confirms_nobody(web: WebProcess, clinic: str) -> None:
    contact = a_contact(clinic, confirmed=False)
    url = mail_links.confirm_url(contact.contact_id)
    with transaction() as session:
        contacts.remove(session, contact.contact_id)

    answer = web.press(url)

    assert answer.status == 410
    assert "taken off the list" in text_of(answer)


@pytest.mark.parametrize("path", ["/notices/unsubscribe/{}", "/l/{}"])
def test_a_token_that_was_not_made_here_or_not_for_this_is_no_page(
    web: WebProcess, clinic: str, path: str
) -> None:
    contact = a_contact(clinic, confirmed=False)
    of_the_other = {
        "/l/{}": mail_links.unsubscribe_url(contact.contact_id, MailKind.REFUND),
        "/notices/unsubscribe/{}": mail_links.confirm_url(contact.contact_id),
    }[path].rpartition("/")[2]

    for token in (of_the_other, of_the_other[:-3], "x", "a.b.c", "%00", "x" * 4000):
        for answer in (web.open(path.format(token)), web.press(path.format(token))):
            assert answer.status == 404
            assert "This link is not complete" in text_of(answer)
    assert not now(contact).confirmed
    assert now(contact).unsubscribed == ()


def test_a_reminder_leads_on_to_pay(web: WebProcess, number: int) -> None:
    # Given a plan that is due in a year
    ref = plans.open_pharmacy(f"pharmacy:{number}")
    plans.buy(plans.PLAN, ref=ref)
    due_on = local_day_of(plans.plan(ref).service_renewal_next_due, plans.KOLKATA)
    with transaction() as session:
        account = accounts.find(session, ref)
        assert account is not None
        url = mail_links.pay_url(account.id, due_on=due_on)

    # When its reader opens the link of a reminder
    answer = web.open(url)

    # Then it says what a year costs, and leads on
    shown = text_of(answer)
    assert answer.status == 200
    assert "Renew PharmaPulse One For A Pharmacy" in shown
    assert "One more year ₹1,000 , GST included Due on" in shown
    assert 'href="https://pharma.example/pay?from=mail"' in answer.body.decode()
    # And nothing is there to be pressed
    pressed = web.press(url)
    assert (pressed.status, pressed.headers["allow"]) == (405, "GET, HEAD, OPTIONS")

    # When a year was paid since
    plans.buy(plans.RENEWAL, 2, ref=ref)
    assert "PharmaPulse One is renewed" in text_of(web.open(url))

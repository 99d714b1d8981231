"""The pages in a real browser: by keyboard alone, without scripts, narrow and wide."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from billing import accounts
from billing.notices import contacts, mail_links
from billing.notices.mail_facts import MailKind
from db.session import transaction
from tests.browser import NewPage, picture
from tests.web.web_process import WebProcess

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.usefixtures("house")
ADDRESS = "somebody.with.a.long.name@a-long-domain-of-a-clinic.example"


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_mails_are_stopped_and_sent_again_by_keyboard_without_scripts(
    web: WebProcess, new_page: NewPage, number: int, width: int, scheme: str
) -> None:
    # Given the link of a mail
    ref = f"clinic:{number}"
    with transaction() as session:
        accounts.create(session, ref=ref, name="W" * 120, product="clinic_leads")
        contact = contacts.add(session, account=ref, address=ADDRESS, actor="test", confirmed=True)
    url = mail_links.unsubscribe_url(contact.contact_id, MailKind.BALANCE_LOW)
    page = new_page(width=width, java_script_enabled=False, color_scheme=scheme)

    # When its reader opens it and presses what the first Tab reaches
    page.goto(f"http://127.0.0.1:{web.port}{urlsplit(url).path}")
    _fits(page, width)
    picture(page, f"unsubscribe-{width}")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="These mails are stopped").wait_for()
    _fits(page, width)
    picture(page, f"stopped-{width}")

    # Then it is stopped, and the same way leads back
    with transaction() as session:
        assert contacts.get(session, contact.contact_id).unsubscribed == ("balance_low",)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="These mails are sent again").wait_for()
    with transaction() as session:
        assert contacts.get(session, contact.contact_id).unsubscribed == ()


def _fits(page: "Page", width: int) -> None:
    """The page has its look, and nothing of it is wider than the window."""
    box = page.locator("main").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    button = page.locator("button").bounding_box()
    assert button is not None
    assert button["height"] >= 44  # WCAG 2.2, 2.5.5
    assert button["x"] + button["width"] <= box["x"] + box["width"]

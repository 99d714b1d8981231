"""The signed addresses in mails: what they say comes back, and nobody else's does."""

from datetime import date, timedelta

import pytest

import clock
from billing.notices import mail_links
from billing.notices.mail_links import ConfirmLink, LinkOutOfUse, PayLink, UnsubscribeLink
from service.signing import BadToken
from tests.billing.notices.mail_given import NOON

pytestmark = pytest.mark.usefixtures("mail")


def token_of(url: str, path: str) -> str:
    assert url.startswith(f"https://pay.shop.example{path}")
    return url.rpartition("/")[2]


def test_an_unsubscribe_link_says_whom_and_what_for_ever() -> None:
    with clock.frozen(NOON):
        token = token_of(mail_links.unsubscribe_url(7, "balance_low"), "/notices/unsubscribe/")
    with clock.frozen(NOON + timedelta(days=3_000)):
        assert mail_links.read_unsubscribe(token) == UnsubscribeLink(7, "balance_low")


def test_a_link_to_confirm_is_good_for_a_week_and_one_to_pay_for_sixty_days() -> None:
    with clock.frozen(NOON):
        confirm = token_of(mail_links.confirm_url(7), "/l/")
        pay = token_of(mail_links.pay_url(3, due_on=date(2026, 12, 30)), "/l/")
    paying = PayLink(3, date(2026, 12, 30))

    with clock.frozen(NOON + timedelta(days=6)):
        assert mail_links.read_link(confirm) == ConfirmLink(7)
    with clock.frozen(NOON + timedelta(days=8)):
        with pytest.raises(LinkOutOfUse) as old:
            mail_links.read_link(confirm)
        assert old.value.link == ConfirmLink(7)
        assert mail_links.read_link(pay) == paying
    with clock.frozen(NOON + timedelta(days=61)), pytest.raises(LinkOutOfUse) as old:
        mail_links.read_link(pay)
    assert old.value.link == paying


def test_a_token_of_another_purpose_or_that_was_changed_is_refused() -> None:
    unsubscribe = mail_links.unsubscribe_url(7, "all").rpartition("/")[2]
    confirm = mail_links.confirm_url(7).rpartition("/")[2]

    for read, token in (
        (mail_links.read_link, unsubscribe),
        (mail_links.read_unsubscribe, confirm),
        (mail_links.read_link, "x" + confirm),
        (mail_links.read_unsubscribe, ""),
    ):
        with pytest.raises(BadToken):
            read(token)


def test_no_link_stops_receipts() -> None:
    token = mail_links.unsubscribe_url(7, "top_up").rpartition("/")[2]
    with pytest.raises(BadToken):
        mail_links.read_unsubscribe(token)

"""Mails about mail: an address to confirm, and a test."""

from billing.notices.mail_facts import ConfirmAddressFacts, MailFacts, TestFacts
from notify.mail.letters.letter import Letter, Link, Tone
from notify.mail.wording import account, product, time


def confirm_address(mail: MailFacts, facts: ConfirmAddressFacts) -> Letter:
    """Somebody gave the address for an account."""
    return Letter(
        subject=f"Please confirm this address for {product(mail)}",
        heading="Please confirm this address",
        paragraphs=(
            f"{product(mail)} was given this address for mails about {account(mail)}: about its"
            " credit, its leads and its plan.",
            "Until it is confirmed, it gets receipts only.",
        ),
        link=Link(
            "Confirm this address",
            facts.confirm_url,
            f"The link is valid until {time(facts.expires_at, mail)}.",
        ),
        closing=(
            "If you do not know this account, do not confirm: the link at the end stops all mails"
            " about it to this address.",
        ),
        stop="Stop all mails about this account",
    )


def test(mail: MailFacts, facts: TestFacts) -> Letter:
    """An operator tries the way of the mails."""
    return Letter(
        subject=f"Test mail of {product(mail)}",
        heading="This is a test mail",
        tone=Tone.GOOD,
        paragraphs=(
            "It arrived, so mails can be sent. Nothing has happened, and there is nothing to do.",
        ),
        figures=(("Asked for on", time(facts.asked_at, mail)),),
    )


test.__test__ = False  # type: ignore[attr-defined] # no test of pytest

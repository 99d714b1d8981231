"""How names, amounts, days and times are written in a mail. Called by the letters.

Names and ids are other people's text. A line end or a character that is not seen becomes a blank
or `�`; a name in a script that runs from right to left is isolated (U+2068, U+2069), so that it
turns nothing around it; what is too long is cut.
"""

import re
import unicodedata
from datetime import date, datetime
from zoneinfo import ZoneInfo

from billing.money import grouped, rupees
from billing.notices.mail_facts import MailFacts
from billing.text import DISGUISES

NAME_MAX_LENGTH = 200
SHORT_NAME_MAX_LENGTH = 60
"""In a subject."""

_BLANKS = re.compile(r"\s+")
_UNSEEN = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff{DISGUISES}]")
_FROM_RIGHT = {"R", "AL", "AN"}
_ISOLATE, _END = "\u2068", "\u2069"


def name(text: str, *, most: int = NAME_MAX_LENGTH) -> str:
    """Return another's text as it can stand in a line of ours."""
    seen = _UNSEEN.sub("\ufffd", _BLANKS.sub(" ", text)).strip()
    if len(seen) > most:
        seen = f"{seen[: most - 1].rstrip()}…"
    if any(unicodedata.bidirectional(character) in _FROM_RIGHT for character in seen):
        return f"{_ISOLATE}{seen}{_END}"
    return seen


def account(mail: MailFacts, *, most: int = NAME_MAX_LENGTH) -> str:
    """Return what the mail's account is called: its name, else its reference."""
    return name(mail.account_name or mail.account or "", most=most)


def account_line(mail: MailFacts) -> str:
    """Return the account's name and reference: `City Clinic (clinic:42)`."""
    reference = name(mail.account or "")
    return f"{account(mail)} ({reference})" if mail.account_name else reference


def product(mail: MailFacts) -> str:
    """Return what the mail's product is called; without one: Billing."""
    return name(mail.product or "Billing")


def counted(number: int, noun: str) -> str:
    """Return `1 lead`, `1,00,000 credits`."""
    return f"{grouped(number)} {noun}" + ("" if number == 1 else "s")


def credit(number: int) -> str:
    """Return an amount of credit: `1 credit`, `50,000 credits`."""
    return counted(number, "credit")


def money(amount: int, currency: str) -> str:
    """Return an amount of zero or more, given in the smallest unit of its currency."""
    if currency == "INR":
        return rupees(amount)
    # How many of them make one is the gateway's knowledge: 100 cents, but 1 yen.
    return f"{amount:,} of the smallest unit of {name(currency, most=3)}"


def day(local: date) -> str:
    """Return a local day: `30 November 2026`."""
    return f"{local.day} {local:%B} {local.year}"


def time(at: datetime, mail: MailFacts) -> str:
    """Return a time in the zone of the mail: `30 November 2026, 20:45`."""
    local = at.astimezone(ZoneInfo(mail.zone))
    return f"{day(local.date())}, {local:%H:%M}"


def gateway(written: str) -> str:
    """Return a gateway's name as people know it."""
    return {"razorpay": "Razorpay", "stripe": "Stripe"}.get(written, name(written))

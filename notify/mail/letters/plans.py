"""A year of a plan ends, has ended, or was not renewed in time.

What holds in every catalog is said: credit can be spent in every state of a plan, and the monthly
grant ends when the plan is degraded. The rest of the entitlements is the product's to explain.
"""

from datetime import timedelta

from billing.money import rupees
from billing.notices.mail_facts import MailFacts, RenewalFacts
from notify.mail.letters.letter import Letter, Link, Tone
from notify.mail.wording import (
    SHORT_NAME_MAX_LENGTH,
    account,
    account_line,
    counted,
    day,
    name,
    product,
    time,
)

_CREDIT_STAYS = "The credit that is there stays and can be spent."


def renewal_reminder(mail: MailFacts, facts: RenewalFacts) -> Letter:
    """The year ends on the due day, or ended and can still be renewed without a loss."""
    if facts.status == "degraded":
        return plan_degraded(mail, facts)
    plan = name(facts.plan, most=SHORT_NAME_MAX_LENGTH)
    when = _when(facts.days)
    verb = "was" if facts.days > 0 else "is"
    return Letter(
        subject=f"{plan} {verb} due for renewal {when} ({_short(mail)})",
        heading=f"{plan} {verb} due for renewal {when}",
        tone=Tone.URGENT if facts.days > 0 else Tone.WARNING if facts.days >= -7 else Tone.PLAIN,
        paragraphs=(_what(mail, facts), _what_follows(facts)),
        figures=_figures(mail, facts),
        link=_pay(mail, facts),
        closing=_other_way(mail, facts),
    )


def plan_degraded(mail: MailFacts, facts: RenewalFacts) -> Letter:
    """The grace is over."""
    plan = name(facts.plan, most=SHORT_NAME_MAX_LENGTH)
    return Letter(
        subject=f"{plan} was not renewed, and is now limited ({_short(mail)})",
        heading=f"{plan} was not renewed, and is now limited",
        tone=Tone.URGENT,
        paragraphs=(
            f"{name(facts.plan)} of {account(mail)} was due for renewal on {day(facts.due_on)}."
            f" It was not renewed before {day(facts.grace_ends_on)}, and is limited from that day:"
            f" no further monthly credits are given. {_CREDIT_STAYS}",
            "As soon as the renewal is paid, the plan is active again.",
        ),
        figures=_figures(mail, facts),
        link=_pay(mail, facts),
        closing=_other_way(mail, facts),
    )


def _when(days: int) -> str:
    """Return when the due day is, seen from the day of sending."""
    near = {-1: "tomorrow", 0: "today", 1: "yesterday"}
    if days in near:
        return near[days]
    return f"{counted(days, 'day')} ago" if days > 0 else f"in {counted(-days, 'day')}"


def _what(mail: MailFacts, facts: RenewalFacts) -> str:
    whose = f"{name(facts.plan)} of {account(mail)}"
    if facts.days > 0:
        return f"{whose} was paid up to and including {_last_paid(facts)}, and is not renewed yet."
    return f"{whose} is paid up to and including {_last_paid(facts)}."


def _what_follows(facts: RenewalFacts) -> str:
    return (
        f"Renew it before {day(facts.grace_ends_on)} and nothing changes. After that the plan is"
        f" limited, and no further monthly credits are given. {_CREDIT_STAYS}"
    )


def _last_paid(facts: RenewalFacts) -> str:
    return day(facts.due_on - timedelta(days=1))


def _figures(mail: MailFacts, facts: RenewalFacts) -> tuple[tuple[str, str], ...]:
    price = (
        (("One more year, GST included", rupees(facts.price_paise)),)
        if facts.price_paise is not None
        else ()
    )
    return (
        ("Account", account_line(mail)),
        ("Plan", name(facts.plan)),
        ("Due for renewal", day(facts.due_on)),
        ("Limited from", day(facts.grace_ends_on)),
        *price,
    )


def _pay(mail: MailFacts, facts: RenewalFacts) -> Link | None:
    if not facts.pay_url:
        return None
    until = facts.pay_url_expires_at
    note = f"The link is valid until {time(until, mail)}." if until else None
    return Link("See the renewal and pay", facts.pay_url, note)


def _other_way(mail: MailFacts, facts: RenewalFacts) -> tuple[str, ...]:
    if facts.price_paise is None:
        return (
            f"A further year of this plan is no longer sold. Please ask {product(mail)} what can"
            " take its place.",
        )
    paid_already = "If it was paid in the meantime, there is nothing to do."
    if facts.pay_url:
        return (paid_already,)
    return f"Please renew it in {product(mail)}.", paid_already


def _short(mail: MailFacts) -> str:
    return account(mail, most=SHORT_NAME_MAX_LENGTH)

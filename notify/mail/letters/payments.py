"""Receipts: money came in, or went back."""

from datetime import timedelta

from billing.notices.mail_facts import MailFacts, RefundFacts, TopUpFacts
from notify.mail.letters.letter import Letter, Tone
from notify.mail.wording import (
    account,
    account_line,
    credit,
    day,
    gateway,
    money,
    name,
    product,
    time,
)

_NO_INVOICE = "This mail confirms the payment. It is not a tax invoice."


def top_up(mail: MailFacts, facts: TopUpFacts) -> Letter:
    """A payment was received."""
    paid = money(facts.amount_paise, facts.currency)
    return Letter(
        subject=f"Payment received: {paid} to {product(mail)}",
        heading=f"We received {paid}",
        tone=Tone.GOOD,
        paragraphs=(_brought(mail, facts),),
        figures=(
            ("Account", account_line(mail)),
            ("Paid, GST included", paid),
            *_bought(facts),
            ("Paid on", time(facts.paid_at, mail)),
            ("Paid with", gateway(facts.gateway)),
            ("Payment", name(facts.payment_id)),
            ("Balance now", credit(facts.balance)),
        ),
        closing=("Thank you.", _NO_INVOICE),
    )


def _brought(mail: MailFacts, facts: TopUpFacts) -> str:
    if facts.plan is not None:
        until = f" up to and including {_last_day(facts)}" if facts.paid_until else ""
        return f"{name(facts.plan)} of {account(mail)} is paid{until}."
    total = facts.credits + facts.bonus_credits
    bonus = f", of which {credit(facts.bonus_credits)} as a bonus" if facts.bonus_credits else ""
    return f"{credit(total)} were added to {account(mail)}{bonus}. They can be spent at once."


def _bought(facts: TopUpFacts) -> tuple[tuple[str, str], ...]:
    if facts.plan is not None:
        paid = (("Paid up to and including", _last_day(facts)),) if facts.paid_until else ()
        return ("Plan", name(facts.plan)), *paid
    bonus = (("Bonus", credit(facts.bonus_credits)),) if facts.bonus_credits else ()
    return ("Credit", credit(facts.credits)), *bonus


def _last_day(facts: TopUpFacts) -> str:
    return day(facts.paid_until - timedelta(days=1)) if facts.paid_until else ""


def refund(mail: MailFacts, facts: RefundFacts) -> Letter:
    """Money has gone back to the payer."""
    returned = money(facts.amount_paise, facts.currency)
    taken = f" {credit(facts.credits)} were taken back with it." if facts.credits else ""
    return Letter(
        subject=f"Refund: {returned} from {product(mail)}",
        heading=f"{returned} refunded",
        paragraphs=(
            f"We refunded {returned} of a payment of {account(mail)}.{taken}",
            "The money goes back the way it was paid. Banks can take some days to show it.",
        ),
        figures=(
            ("Account", account_line(mail)),
            ("Refunded", returned),
            *((("Credit taken back", credit(facts.credits)),) if facts.credits else ()),
            ("Refunded on", time(facts.at, mail)),
            ("Refunded through", gateway(facts.gateway)),
            ("Payment", name(facts.payment_id)),
            ("Refund", str(facts.refund_id)),
        ),
    )

"""For operators: a chargeback, an endpoint that fails, a payment that needs a person."""

import shlex

from billing.notices.mail_facts import (
    MailFacts,
    OperatorChargebackFacts,
    OperatorEndpointFacts,
    OperatorPaymentFacts,
)
from notify.mail.letters.letter import Letter, Tone
from notify.mail.wording import account_line, counted, gateway, money, name, time

_CHARGEBACK_MEANS = {
    "won": "The bank decided for us: the money stays or comes back.",
    "lost": "The bank decided for the payer: the money is gone.",
    "closed": "The case is closed.",
}


def chargeback(mail: MailFacts, facts: OperatorChargebackFacts) -> Letter:
    """A payer's bank wants money back, or has decided."""
    amount = money(facts.amount_paise, facts.currency)
    state = name(facts.state.replace("_", " "))
    is_over = facts.state in _CHARGEBACK_MEANS
    until = f" until {time(facts.respond_by, mail)}" if facts.respond_by else ""
    return Letter(
        subject=f"Chargeback {state}: {amount} of {name(facts.payment_id, most=40)}",
        heading=f"Chargeback {state}: {amount}",
        tone=Tone.PLAIN if is_over else Tone.URGENT,
        paragraphs=(
            f"A payer disputes {amount} with the bank.",
            _CHARGEBACK_MEANS.get(
                facts.state,
                f"Answer it at {gateway(facts.gateway)} with proof of what was delivered{until}. A"
                " case that nobody answers is lost.",
            ),
        ),
        figures=(
            *((("Account", account_line(mail)),) if mail.account else ()),
            ("Gateway", gateway(facts.gateway)),
            ("Payment", name(facts.payment_id)),
            ("Case", name(facts.gateway_dispute_id)),
            ("State", state),
            *((("Answer until", time(facts.respond_by, mail)),) if facts.respond_by else ()),
        ),
        commands=(
            "billing chargebacks list --open",
            f"billing payments show {_argument(facts.payment_id)}",
        ),
    )


def endpoint(mail: MailFacts, facts: OperatorEndpointFacts) -> Letter:
    """A platform does not take its notices."""
    is_off = facts.state == "off"
    return Letter(
        subject=f"Endpoint {facts.endpoint_id} is {facts.state}: {name(facts.host, most=60)}",
        heading=f"Endpoint {facts.endpoint_id} is {facts.state}",
        tone=Tone.URGENT if is_off else Tone.WARNING,
        paragraphs=(
            f"Notices to {name(facts.host)} do not arrive.",
            "It was switched off, and nothing is sent to it. Its notices are kept: switch it on"
            " when it answers again, then replay what it missed."
            if is_off
            else "They are tried again in growing intervals. After five days without a success the"
            " endpoint is switched off. Its owner should look at it now.",
        ),
        figures=(
            ("Endpoint", f"{facts.endpoint_id}: {name(facts.host)}"),
            *((("Product", name(facts.product)),) if facts.product else ()),
            *((("Failing since", time(facts.since, mail)),) if facts.since else ()),
            *((("Why", name(facts.reason)),) if facts.reason else ()),
            ("Not delivered", counted(facts.waiting, "notice")),
        ),
        commands=(
            f"billing notices endpoints show {facts.endpoint_id}",
            f"billing notices endpoints test {facts.endpoint_id}",
            *((f"billing notices endpoints enable {facts.endpoint_id}",) if is_off else ()),
        ),
    )


def payment(mail: MailFacts, facts: OperatorPaymentFacts) -> Letter:
    """Money came in that no rule could place."""
    amount = money(facts.amount_paise, facts.currency)
    return Letter(
        subject=f"Payment needs a person: {amount}, {name(facts.state)}",
        heading=f"A payment of {amount} needs a person",
        tone=Tone.WARNING,
        paragraphs=(
            f"{amount} came in through {gateway(facts.gateway)}, and was credited to nobody:"
            + (
                " it is not known whose it is."
                if facts.state == "unmatched"
                else " it is not what was ordered."
            ),
            "Find out whose it is. Then attach it to an account, or refund it at the gateway. The"
            ' page "Attach an unmatched payment" of the documentation explains each reason.',
        ),
        figures=(
            *((("Account", account_line(mail)),) if mail.account else ()),
            ("Gateway", gateway(facts.gateway)),
            ("Payment", name(facts.payment_id)),
            ("State", name(facts.state)),
            ("Reason", name(facts.reason)),
        ),
        commands=(
            f"billing payments show {_argument(facts.payment_id)}",
            f"billing payments attach {_argument(facts.payment_id)} --account REF --reason TEXT",
        ),
    )


def _argument(text: str) -> str:
    """Return an id as it can be pasted into a shell, whoever made it."""
    return shlex.quote(name(text))

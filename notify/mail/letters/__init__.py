"""What each kind of mail says: one function a kind, from facts to a `Letter`.

Called by `notify.mail.composing`. Plain, short English: what happened, what it means, what to do.
"""

from collections.abc import Callable, Mapping
from typing import Any

from billing.notices.mail_facts import FACTS_OF, MailFacts, MailKind
from notify.mail.letters import addresses, balances, decisions, operators, payments, plans
from notify.mail.letters.letter import Letter, Link, Listing, Tone

__all__ = ["WRITERS", "Letter", "Link", "Listing", "Tone", "letter_of"]

WRITERS: Mapping[MailKind, Callable[[MailFacts, Any], Letter]] = {
    MailKind.BALANCE_LOW: balances.low,
    MailKind.BALANCE_EXHAUSTED: balances.exhausted,
    MailKind.BALANCE_IN_DEBT: balances.in_debt,
    MailKind.LEADS_PARKED: balances.leads_parked,
    MailKind.TOP_UP: payments.top_up,
    MailKind.REFUND: payments.refund,
    MailKind.DISPUTE_DECIDED: decisions.dispute_decided,
    MailKind.RENEWAL_REMINDER: plans.renewal_reminder,
    MailKind.PLAN_DEGRADED: plans.plan_degraded,
    MailKind.CONFIRM_ADDRESS: addresses.confirm_address,
    MailKind.TEST: addresses.test,
    MailKind.OPERATOR_CHARGEBACK: operators.chargeback,
    MailKind.OPERATOR_ENDPOINT: operators.endpoint,
    MailKind.OPERATOR_PAYMENT: operators.payment,
}


def letter_of(mail: MailFacts) -> Letter:
    """Return what the mail says. Raises `TypeError` if its facts are those of another kind."""
    if type(mail.facts) is not FACTS_OF[mail.kind]:
        raise TypeError(f"a mail {mail.kind} cannot say {type(mail.facts).__name__}")
    return WRITERS[mail.kind](mail, mail.facts)

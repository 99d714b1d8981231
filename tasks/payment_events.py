"""Webhooks of the gateways: read the body tolerantly, take in what it says of a payment.

What a signed body says that we do not need is `ignored`; one that nobody can read is dead, where
an operator sees it.
"""

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from billing import audit, gateway_signs, payments
from billing.crediting import Credited
from billing.payment_facts import GatewayName, PaymentFacts
from billing.payments import Taken
from db.errors import PermanentError
from db.inbox import Finished, LeasedEvent
from gateways import razorpay_webhooks, stripe_webhooks
from gateways.events import Event
from tasks.handling import Handled
from tasks.lead_events import deduction_line

_PARSE: dict[GatewayName, Callable[[bytes], Event]] = {
    "razorpay": razorpay_webhooks.parse,
    "stripe": stripe_webhooks.parse,
}


def handle(session: Session, events: Sequence[LeasedEvent], *, gateway: GatewayName) -> Handled:
    """Take in what one batch of a gateway's webhooks says."""
    actor = f"webhook:{gateway}"
    finished: list[Finished | None] = [None] * len(events)
    facts: list[PaymentFacts] = []
    told_by: list[tuple[int, str | None]] = []
    for i, event in enumerate(events):
        try:
            read = _PARSE[gateway](event.body)
        except PermanentError as error:
            finished[i] = Finished("dead", error=f"{type(error).__name__}: {error}")
            continue
        if read.payment is None:
            finished[i] = Finished("ignored", outcome="no_payment", type=read.type)
            continue
        facts.append(read.payment)
        told_by.append((i, read.type))
    with audit.asked_by(actor, door="webhook"):
        gateway_signs.heard(session, gateway)
        taken = payments.take_in(session, facts, actor=actor)
    for (i, kind), state in zip(told_by, taken.states, strict=True):
        finished[i] = Finished("done", outcome=state, type=kind)
    return Handled([end for end in finished if end is not None], log_lines(taken))


def log_lines(taken: Taken) -> list[str]:
    """Return what operators are told, after the commit, of credit that came."""
    return [
        *map(verified_line, taken.credited),
        *(deduction_line(lead.account, lead.credits) for lead in taken.released),
    ]


def verified_line(credited: Credited) -> str:
    """Return the line that operators look for when a payment was credited."""
    return f"Payment verified: {credited.payment_id}, Credits {credited.credits}"

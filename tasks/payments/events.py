"""Webhooks of the gateways: read the body tolerantly, take in what it says of a payment.

What a signed body says that we do not need is `ignored`; one that nobody can read is dead, where
an operator sees it.
"""

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from billing import audit, payments
from billing.payments import GatewayName
from billing.payments import gateway_heartbeat as gateway_signs
from billing.returns import chargebacks
from billing.returns import refund_intake as refund_news
from db.inbox import Finished, LeasedEvent
from errors import PermanentError
from gateways.events import Event
from gateways.razorpay import webhooks as razorpay_webhooks
from gateways.stripe import webhooks as stripe_webhooks
from tasks.inbox.handler import Handled
from tasks.operator_lines import payment_lines
from tasks.returns import settlement as settling

_PARSE: dict[GatewayName, Callable[[bytes], Event]] = {
    "razorpay": razorpay_webhooks.parse,
    "stripe": stripe_webhooks.parse,
}


def handle(session: Session, events: Sequence[LeasedEvent], *, gateway: GatewayName) -> Handled:
    """Take in what one batch of a gateway's webhooks says."""
    actor = f"webhook:{gateway}"
    finished: list[Finished | None] = [None] * len(events)
    news: list[tuple[int, Event]] = []
    for i, event in enumerate(events):
        try:
            read = _PARSE[gateway](event.body)
        except PermanentError as error:
            finished[i] = Finished("dead", error=f"{type(error).__name__}: {error}")
            continue
        news.append((i, read))
    with audit.asked_by(actor, door="webhook"):
        paid = [(i, read.payment) for i, read in news if read.payment is not None]
        returned = [(i, read.refund) for i, read in news if read.refund is not None]
        charged = [(i, read.dispute) for i, read in news if read.dispute is not None]
        # Theirs are locked with the others: after an account, no payment may be.
        also = [(fact.gateway, fact.payment_id) for _, fact in returned]
        also += [(fact.gateway, fact.payment_id) for _, fact in charged]
        facts = [fact for _, fact in paid]
        taken = payments.take_in(session, facts, actor=actor, also=also)
        refunded = refund_news.take_in(session, [fact for _, fact in returned], actor=actor)
        disputed = chargebacks.take_in(session, [fact for _, fact in charged])
        gateway_signs.heard(session, gateway)
    outcomes = {i: state for (i, _), state in zip(paid, taken.states, strict=True)}
    outcomes |= {i: f"refund {state}" for (i, _), state in zip(returned, refunded, strict=True)}
    outcomes |= {i: f"chargeback {state}" for (i, _), state in zip(charged, disputed, strict=True)}
    for i, read in news:
        if i in outcomes:
            finished[i] = Finished("done", outcome=outcomes[i], type=read.type)
        else:
            finished[i] = Finished("ignored", outcome="no_payment", type=read.type)
    return Handled(
        [end for end in finished if end is not None],
        payment_lines(taken),
        # Credit that money takes along is posted once its row is there; see
        # `billing/payments/clawbacks.py`.
        settling.settle_all if returned or charged or taken.credited else None,
    )

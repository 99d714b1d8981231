"""The handler of the gateways' webhooks: read each body tolerantly, take in its facts.

A signed body without facts for us is `ignored`; an unreadable one is dead, and an operator sees it.
"""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from billing import audit, payments
from billing.payments import GatewayName, IntakeResult, gateway_heartbeat
from billing.returns import chargebacks, refund_intake
from db.inbox import Finished, LeasedEvent
from errors import PermanentError
from gateways import registry
from gateways.events import Event
from service import request_ids
from service.disclosure import shown_error
from tasks.inbox import clock_skew
from tasks.inbox.handler import BatchOutcome
from tasks.operator_lines import payment_lines
from tasks.returns import settlement


def handle(
    session: Session, events: Sequence[LeasedEvent], *, gateway: GatewayName
) -> BatchOutcome:
    """Take in the facts of one batch of a gateway's webhooks."""
    outcome = BatchOutcome(events)
    parse = registry.webhooks(gateway).parse
    readable: list[tuple[LeasedEvent, Event]] = []
    for event in events:
        try:
            with request_ids.bound(event.request_id):  # the facts take it
                readable.append((event, parse(event.body)))
        except PermanentError as error:
            reason = shown_error(error)
            outcome.finish(event, Finished("dead", error=reason))
    reported = [(e.received_at, content.payment) for e, content in readable]
    clock_skew.report(
        session, gateway, [(payment.happened_at, at) for at, payment in reported if payment]
    )
    states, taken = _take_in(session, readable, gateway=gateway)
    for event, content in readable:
        state = states.get(event.id)
        end = Finished("done", state) if state else Finished("ignored", "no_payment")
        outcome.finish(event, replace(end, type=content.type))
    outcome.log(payment_lines(taken))
    if taken.credited or any(content.refund or content.dispute for _, content in readable):
        # The credit that goes back with money is posted after its row is committed; see
        # `billing/payments/clawbacks.py`.
        outcome.afterwards = settlement.settle_all
    return outcome


def _take_in(
    session: Session, readable: Sequence[tuple[LeasedEvent, Event]], *, gateway: GatewayName
) -> tuple[dict[int, str], IntakeResult]:
    """Take in the facts; return the outcomes by row id, and what was credited."""
    paid = {event.id: content.payment for event, content in readable if content.payment}
    returned = {event.id: content.refund for event, content in readable if content.refund}
    disputed = {event.id: content.dispute for event, content in readable if content.dispute}
    # All payments are locked together: once an account is locked, no payment may be.
    also = [(fact.gateway, fact.payment_id) for fact in returned.values()]
    also += [(fact.gateway, fact.payment_id) for fact in disputed.values()]
    actor = f"webhook:{gateway}"
    with audit.asked_by(actor, door="webhook"):
        taken = payments.take_in_payments(session, list(paid.values()), actor=actor, also=also)
        refunds = refund_intake.record_facts(session, list(returned.values()), actor=actor)
        chargeback_states = chargebacks.record_facts(session, list(disputed.values()))
        gateway_heartbeat.record_event(session, gateway)
    states = dict(zip(paid, taken.states, strict=True))
    states |= {i: f"refund {state}" for i, state in zip(returned, refunds, strict=True)}
    states |= {
        i: f"chargeback {state}" for i, state in zip(disputed, chargeback_states, strict=True)
    }
    return states, taken

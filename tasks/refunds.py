"""Refunds on beat: settle what was missed, ask the gateways about refunds under way.

What is due stands in the refunds' rows, so a tick may be missed or doubled. A webhook that never
came is made good here.
"""

import time

import structlog

import clock
from billing import audit, chargebacks, refund_news, refund_rows
from billing.payment_facts import GatewayName
from db.errors import PermanentError, TransientError
from db.models import Payment
from db.session import transaction
from gateways import registry
from gateways.protocol import Gateway
from tasks import settling, turns
from tasks.refunding import Outgoing, find_out
from worker.app import app

log = structlog.get_logger()

ASK_SECONDS = 20
"""A tick hands over to the next after this."""
_AT_ONCE = 20


@app.task(name="tasks.refunds.ask")
def ask() -> None:
    """Settle what can be, then ask about the refunds that are due."""
    settling.settle_all()
    with turns.only_one("asking_about_refunds") as is_mine:
        if is_mine:
            stop_at = time.monotonic() + ASK_SECONDS
            with audit.asked_by(settling.ACTOR, door="beat"):
                for name in registry.configured():
                    ask_gateway(name, stop_at=stop_at)


def ask_gateway(name: GatewayName, *, stop_at: float) -> None:
    """Ask one gateway until nothing is due, time is up or it does not answer.

    `stop_at` by the monotonic clock.
    """
    gateway = registry.by_name(name)
    try:
        _list_disputes(gateway)
        _explain(gateway)
        while time.monotonic() < stop_at:
            outgoing = _next(name)
            if outgoing is None:
                return
            _find_out(gateway, outgoing)
    except TransientError as error:
        log.warning("gateway not asked", gateway=name, error=f"{type(error).__name__}: {error}")


def _next(gateway: GatewayName) -> Outgoing | None:
    with transaction() as session:
        due = refund_rows.lease_due(session, gateway=gateway, limit=1)
        return Outgoing.of(due[0], session.get_one(Payment, due[0].payment_id)) if due else None


def _find_out(gateway: Gateway, outgoing: Outgoing) -> None:
    try:
        find_out(gateway, outgoing)
    except PermanentError as error:
        log.error("refund not settled", refund=outgoing.refund_id,
                  error=f"{type(error).__name__}: {error}")  # fmt: skip


def _list_disputes(gateway: Gateway) -> None:
    """Take in all disputes of late, once an hour: no webhook of them is sent twice for long."""
    with transaction() as session:
        if not chargebacks.is_time_to_ask(session, gateway.name):
            return
    facts = gateway.disputes(since=clock.now() - chargebacks.WINDOW)
    with transaction() as session:
        chargebacks.take_in(session, facts)
    settling.settle_all()


def _explain(gateway: Gateway) -> None:
    """Ask for the refunds of payments that say to be refunded, of which none was told."""
    with transaction() as session:
        unexplained = refund_rows.unexplained(session, gateway=gateway.name, limit=_AT_ONCE)
    for payment_id, gateway_payment_id, refunded_paise in unexplained:
        facts = gateway.refunds_of(gateway_payment_id)
        with transaction() as session:
            refund_news.take_in(session, facts, actor=settling.ACTOR)
            refund_rows.explained(session, payment_id, refunded_paise)
        settling.settle_all()

"""Inquiry about refunds and chargebacks at the gateways, on beat, and the settlement of both.

What is due stands in the refunds' rows, so a tick may be missed or doubled. This finds the refund
or dispute whose webhook never came.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import structlog
from sqlalchemy.orm import Session

import clock
from billing import audit
from billing.payments import GatewayName, gateway_heartbeat, queries
from billing.returns import (
    DisputeFacts,
    RefundFacts,
    chargebacks,
    refund_intake,
    refund_lifecycle,
    refunds,
)
from db.models import Payment
from db.session import transaction
from errors import PermanentError, TransientError
from gateways import registry
from gateways.protocol import Gateway
from service import request_ids
from service.disclosure import shown_error
from tasks.plumbing import mutex, nudges
from tasks.returns import settlement
from tasks.returns.submission import OutgoingRefund, resolve
from worker.app import app

log = structlog.get_logger()

ASK_SECONDS = 20
"""A tick leaves the rest to the next after this."""
_AT_ONCE = 20


@app.task(name=nudges.REFUNDS_TASK, **mutex.TIME_LIMITS)
def ask() -> None:
    """Settle all that can be settled, then ask the gateways about the refunds that are due."""
    nudges.acknowledge(nudges.REFUNDS)
    settlement.settle_all()
    with mutex.try_lock("asking_about_refunds") as is_held:
        if is_held:
            stop_at = time.monotonic() + ASK_SECONDS
            with audit.asked_by(settlement.ACTOR, door="beat"):
                for name in registry.configured():
                    ask_gateway(name, stop_at=stop_at)


def ask_gateway(name: GatewayName, *, stop_at: float) -> None:
    """Ask one gateway until nothing is due, time is up or it does not answer.

    `stop_at` is by the monotonic clock.
    """
    try:
        gateway = registry.by_name(name)
        _take_in_recent(gateway)
        _explain_refunded(gateway)
        while time.monotonic() < stop_at:
            outgoing = _next(name)
            if outgoing is None:
                return
            with request_ids.bound(outgoing.request_id):
                _resolve(gateway, outgoing)
    except TransientError as error:
        log.warning("gateway not asked", gateway=name, error=shown_error(error))


def _resolve(gateway: Gateway, outgoing: OutgoingRefund) -> None:
    try:
        resolve(gateway, outgoing)
    except PermanentError as error:  # the other refunds must not wait for it
        log.error("refund not settled", refund=outgoing.refund_id, error=shown_error(error))
        with transaction() as session:
            refunds.record_failure(session, outgoing.refund_id, error)


def _next(gateway: GatewayName) -> OutgoingRefund | None:
    with transaction() as session:
        due = refund_lifecycle.start_inquiries(session, gateway=gateway, limit=1)
        return (
            OutgoingRefund.of(due[0], session.get_one(Payment, due[0].payment_id)) if due else None
        )


@contextmanager
def _permanent_error_logged(event: str, **about: object) -> Iterator[None]:
    """Log what cannot succeed: the other refunds must not wait for it."""
    try:
        yield
    except PermanentError as error:
        log.error(event, error=shown_error(error), **about)


def _take_in_recent(gateway: Gateway) -> None:
    """Take in all recent refunds and disputes once an hour: a webhook of one may be lost."""
    with transaction() as session:
        if not gateway_heartbeat.start_listing(session, gateway.name):
            return
    try:
        _take_in_lists(gateway)
    except TransientError:
        with transaction() as session:
            gateway_heartbeat.retry_listing_soon(session, gateway.name)
        raise
    settlement.settle_all()


def _take_in_lists(gateway: Gateway) -> None:
    with _permanent_error_logged("refunds not listed", gateway=gateway.name):
        for facts in _batches(gateway.refunds(since=clock.now() - refund_lifecycle.WINDOW)):
            with transaction() as session:
                refund_intake.record_facts(session, _ours(session, facts), actor=settlement.ACTOR)
    with _permanent_error_logged("disputes not listed", gateway=gateway.name):
        for some in _batches(gateway.disputes(since=clock.now() - chargebacks.WINDOW)):
            with transaction() as session:
                chargebacks.record_facts(session, _ours(session, some))


def _explain_refunded(gateway: Gateway) -> None:
    """Take in the refunds of payments that are refunded, if no refund was reported."""
    with transaction() as session:
        unexplained = refund_lifecycle.unexplained_payments(
            session, gateway=gateway.name, limit=_AT_ONCE
        )
    for payment_id, gateway_payment_id, refunded_paise in unexplained:
        with _permanent_error_logged(
            "refunds not listed", gateway=gateway.name, payment=gateway_payment_id
        ):
            facts = gateway.refunds_of(gateway_payment_id)
            with transaction() as session:
                refund_intake.record_facts(session, facts, actor=settlement.ACTOR)
                refund_intake.recount_refunded(session, payment_id)
        with transaction() as session:  # a refused question is not repeated at every tick
            refund_lifecycle.mark_explained(session, payment_id, refunded_paise)
        settlement.settle_all()


_Fact = TypeVar("_Fact", RefundFacts, DisputeFacts)


def _ours(session: Session, facts: Sequence[_Fact]) -> list[_Fact]:
    """Return the facts of payments that we know: others may use the same gateway account."""
    names = {fact.gateway for fact in facts}
    known = {
        (name, id_)
        for name in names
        for id_ in queries.recorded_ids(session, name, (fact.payment_id for fact in facts))
    }
    return [fact for fact in facts if (fact.gateway, fact.payment_id) in known]


def _batches(facts: Sequence[_Fact]) -> Iterator[Sequence[_Fact]]:
    for start in range(0, len(facts), _AT_ONCE):
        yield facts[start : start + _AT_ONCE]

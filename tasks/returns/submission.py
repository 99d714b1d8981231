"""Refunding, as the API and the Celery door ask for it: reserve, ask the gateway, settle.

The gateway is called between two transactions. The refund is a row, and its credit reserved, before
the gateway hears of it; whatever it answers, or if it does not, the row says so.
"""

from dataclasses import dataclass

import structlog

from billing.returns import refund_intake, refund_rows, refunds
from db.models import Payment, Refund
from db.session import transaction
from errors import TransientError
from gateways import registry
from gateways.errors import GatewayRefused
from gateways.protocol import Gateway
from tasks.returns import settlement

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RefundStanding:
    """A refund as it stands."""

    refund_id: int
    payment_id: str
    state: str
    amount_paise: int
    credits_taken: int
    """Reserved or taken, with the bonus."""
    debt: int
    last_error: str | None


@dataclass(frozen=True, slots=True)
class OutgoingRefund:
    """What a gateway is told of a refund."""

    refund_id: int
    gateway: str
    payment_id: str
    amount_paise: int
    currency: str
    receipt: str | None
    state: str

    @classmethod
    def of(cls, refund: Refund, payment: Payment) -> "OutgoingRefund":
        """Return it for a refund and its payment."""
        return cls(
            refund.id, refund.gateway, payment.gateway_payment_id, refund.amount_paise,
            payment.currency, refund.receipt, refund.state,
        )  # fmt: skip


def request_refund(
    *, payment_id: str, amount_paise: int | None, reason: str, actor: str, request_key: str
) -> RefundStanding:
    """Refund a payment (the gateway's id), in part or wholly, and return how it stands.

    Once for a request key. What the gateway did not answer is `unknown`, and found out by the
    sweep. Raises what `refunds.request` does, and `GatewayNotConfigured`.
    """
    with transaction() as session:
        refund, is_new = refunds.request(
            session, payment_id=payment_id, amount_paise=amount_paise, reason=reason,
            actor=actor, request_key=request_key,
        )  # fmt: skip
        outgoing = OutgoingRefund.of(refund, session.get_one(Payment, refund.payment_id))
        # Before the commit: credit must not be reserved for a gateway that nobody can ask.
        gateway = registry.by_name(outgoing.gateway) if is_new else None
    if gateway is not None:
        submit(gateway, outgoing)
    return get_refund(outgoing.refund_id)


def submit(gateway: Gateway, outgoing: OutgoingRefund) -> bool:
    """Ask the gateway for the refund, and return whether it answered; its errors end here."""
    assert outgoing.receipt is not None  # noqa: S101 - only what was asked for here is submitted
    try:
        fact = gateway.refund(
            outgoing.payment_id, amount_paise=outgoing.amount_paise, currency=outgoing.currency,
            receipt=outgoing.receipt,
        )  # fmt: skip
    except GatewayRefused as error:
        with transaction() as session:
            refunds.refused(session, outgoing.refund_id, error)
    except TransientError as error:
        log.warning("refund not answered", refund=outgoing.refund_id, error=type(error).__name__)
        with transaction() as session:
            refunds.unanswered(session, outgoing.refund_id, error)
        return False
    else:
        with transaction() as session:
            refund_intake.take_in(session, [fact], actor=settlement.ACTOR)
    settlement.settle_all()
    return True


def get_refund(refund_id: int) -> RefundStanding:
    """Return a refund as it stands."""
    with transaction() as session:
        refund = session.get_one(Refund, refund_id)
        payment = session.get_one(Payment, refund.payment_id)
        return RefundStanding(
            refund.id, payment.gateway_payment_id, refund.state, refund.amount_paise,
            refund.credits + refund.bonus_credits, refund.debt, refund.last_error,
        )  # fmt: skip


def resolve(gateway: Gateway, outgoing: OutgoingRefund) -> None:
    """Find out what became of a refund; one that the gateway does not know is asked for again.

    Raises what the gateway raises.
    """
    facts = gateway.refunds_of(outgoing.payment_id)
    with transaction() as session:
        refund_intake.take_in(session, facts, actor=settlement.ACTOR)
        state = refund_rows.lock(session, outgoing.refund_id).state
    if state in refund_rows.UNCONFIRMED and outgoing.receipt is not None:
        submit(gateway, outgoing)
        with transaction() as session:  # what had to wait for it
            refund_intake.take_in(session, facts, actor=settlement.ACTOR)
    settlement.settle_all()

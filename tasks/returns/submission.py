"""The submission of refunds to a gateway: reserve credit, ask the gateway, settle.

For the API, the command and the inquiry on beat. The gateway is called between two transactions:
first the refund is a row with its credit reserved. Whatever the gateway answers, or if it does not,
the row records it.
"""

from dataclasses import dataclass
from datetime import datetime

import structlog

from billing import payments
from billing.returns import refund_intake, refund_lifecycle, refunds
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
    account: str | None
    """None: the payment is of no account that is known."""
    reason: str
    created_at: datetime

    @classmethod
    def of(cls, refund: Refund, payment: Payment, account: str | None) -> "RefundStanding":
        """Return it from the rows of a refund and its payment, and their account."""
        return cls(
            refund_id=refund.id,
            payment_id=payment.gateway_payment_id,
            state=refund.state,
            amount_paise=refund.amount_paise,
            credits_taken=refund.credits + refund.bonus_credits,
            debt=refund.debt,
            last_error=refund.last_error,
            account=account,
            reason=refund.reason,
            created_at=refund.created_at,
        )


@dataclass(frozen=True, slots=True)
class OutgoingRefund:
    """A refund as its gateway is asked for it."""

    refund_id: int
    gateway: str
    payment_id: str
    amount_paise: int
    currency: str
    receipt: str | None
    state: str
    request_id: str | None
    """Of the request that asked for it."""

    @classmethod
    def of(cls, refund: Refund, payment: Payment) -> "OutgoingRefund":
        """Return it from the rows of a refund and its payment."""
        return cls(
            refund_id=refund.id,
            gateway=refund.gateway,
            payment_id=payment.gateway_payment_id,
            amount_paise=refund.amount_paise,
            currency=payment.currency,
            receipt=refund.receipt,
            state=refund.state,
            request_id=refund.request_id,
        )


def request_refund(
    *, payment_id: str, amount_paise: int | None, reason: str, actor: str, request_key: str
) -> RefundStanding:
    """Refund a payment (the gateway's id), in part or wholly, and return how the refund stands.

    Once per request key. A refund that the gateway did not answer is `unknown` until the inquiry on
    beat resolves it. Raises what `refunds.request` does, and `GatewayNotConfigured`.
    """
    with transaction() as session:
        refund, is_new = refunds.request(
            session,
            payment_id=payment_id,
            amount_paise=amount_paise,
            reason=reason,
            actor=actor,
            request_key=request_key,
        )
        outgoing = OutgoingRefund.of(refund, session.get_one(Payment, refund.payment_id))
        # Before the commit: no credit may be reserved for a gateway that is not configured.
        gateway = registry.by_name(outgoing.gateway) if is_new else None
    if gateway is not None:
        submit(gateway, outgoing)
    return get_refund(outgoing.refund_id)


def submit(gateway: Gateway, outgoing: OutgoingRefund) -> bool:
    """Ask the gateway for the refund; return False if it did not answer. Its errors end here."""
    assert outgoing.receipt is not None  # only refunds requested here are submitted
    try:
        fact = gateway.refund(
            outgoing.payment_id,
            amount_paise=outgoing.amount_paise,
            currency=outgoing.currency,
            receipt=outgoing.receipt,
        )
    except GatewayRefused as error:
        with transaction() as session:
            refunds.record_refusal(session, outgoing.refund_id, error)
    except TransientError as error:
        log.warning("refund not answered", refund=outgoing.refund_id, error=type(error).__name__)
        with transaction() as session:
            refunds.record_no_answer(session, outgoing.refund_id, error)
        return False
    else:
        with transaction() as session:
            refund_intake.record_facts(session, [fact], actor=settlement.ACTOR)
    settlement.settle_all()
    return True


def get_refund(refund_id: int) -> RefundStanding:
    """Return a refund as it stands."""
    with transaction() as session:
        refund = session.get_one(Refund, refund_id)
        payment = session.get_one(Payment, refund.payment_id)
        account = payments.queries.find_account_ref(session, payment)
        return RefundStanding.of(refund, payment, account)


def resolve(gateway: Gateway, outgoing: OutgoingRefund) -> None:
    """Take in a refund's state at the gateway; ask again for one that the gateway does not know.

    Raises what the gateway raises.
    """
    facts = gateway.refunds_of(outgoing.payment_id)
    with transaction() as session:
        refund_intake.record_facts(session, facts, actor=settlement.ACTOR)
        state = refund_lifecycle.lock(session, outgoing.refund_id).state
    if state in refund_lifecycle.UNCONFIRMED and outgoing.receipt is not None:
        submit(gateway, outgoing)
        with transaction() as session:  # the facts that had to wait for it
            refund_intake.record_facts(session, facts, actor=settlement.ACTOR)
    settlement.settle_all()

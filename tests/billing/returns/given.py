"""Short ways to say Given in the tests of refunds and chargebacks."""

from typing import Any

from billing.returns import (
    CannotRefund,
    DisputeFacts,
    DisputeSeen,
    RefundFacts,
    RefundSeen,
    chargebacks,
    refund_intake,
    refund_lifecycle,
    refunds,
)
from db.models import Chargeback, Refund
from db.session import transaction
from tests.billing.given import rows
from tests.billing.payments.given import PRICE


def ask_refund(
    amount: int | None = None, key: str = "r1", payment_id: str = "pay_1", reason: str = "asked"
) -> int:
    """Ask for a refund; its id."""
    with transaction() as session:
        refund, _ = refunds.request(
            session, payment_id=payment_id, amount_paise=amount, reason=reason,
            actor="admin:ops", request_key=key,
        )  # fmt: skip
        return refund.id


def refund_fact(
    seen: RefundSeen = "processed", refund_id: str = "rfnd_1", amount: int = PRICE, **more: Any
) -> RefundFacts:
    """What a gateway reports of a refund."""
    values: dict[str, Any] = {"payment_id": "pay_1"} | more
    return RefundFacts("razorpay", refund_id, amount_paise=amount, seen=seen, **values)


def ours(key: str = "r1") -> str:
    """The receipt of a refund that was requested here."""
    return refunds.receipt_of(key)


def report(*facts: RefundFacts) -> list[str]:
    """Record the facts, then settle, as the tasks do."""
    with transaction() as session:
        states = refund_intake.record_facts(session, facts, actor="webhook:razorpay")
    settle()
    return states


def dispute_fact(
    seen: DisputeSeen = "open", dispute_id: str = "disp_1", amount: int = PRICE, **more: Any
) -> DisputeFacts:
    """What a gateway reports of a payer's dispute."""
    values: dict[str, Any] = {"payment_id": "pay_1"} | more
    return DisputeFacts("razorpay", dispute_id, amount_paise=amount, seen=seen, **values)


def report_dispute(*facts: DisputeFacts) -> list[str]:
    with transaction() as session:
        states = chargebacks.record_facts(session, facts)
    settle()
    return states


def settle() -> None:
    """Bring all credit in line, each clawback in a transaction of its own."""
    while pending := _pending():  # a clawback that ends may leave its share to another
        for is_refund, id_ in pending:
            with transaction() as session:
                if is_refund:
                    refund_intake.settle(session, id_, actor="system:refunds")
                else:
                    chargebacks.settle(session, id_, actor="system:refunds")


def _pending() -> list[tuple[bool, int]]:
    with transaction() as session:
        return [
            *((True, id_) for id_ in refund_lifecycle.unsettled(session, limit=1000)),
            *((False, id_) for id_ in chargebacks.unsettled(session, limit=1000)),
        ]


def refund(id_: int) -> Refund:
    with transaction() as session:
        found = session.get_one(Refund, id_)
        session.expunge(found)
        return found


def chargeback(dispute_id: str = "disp_1") -> Chargeback:
    with transaction() as session:
        found = session.query(Chargeback).filter_by(gateway_dispute_id=dispute_id).one()
        session.expunge(found)
        return found


def held(ref: str = "clinic:42") -> object:
    return rows("SELECT held FROM accounts WHERE ref = :ref", ref=ref)[0][0]


def taken_back() -> dict[object, object]:
    """Credit taken back less what came back again, by payment."""
    return dict(
        rows(
            "SELECT payment_id, -sum(amount)::bigint FROM credit_transactions"
            " WHERE kind IN ('clawback', 'bonus_clawback', 'clawback_return',"
            " 'bonus_clawback_return') GROUP BY 1"
        )  # type: ignore[arg-type]
    )


def refused(key: str = "r1") -> None:
    """The gateway refuses what we asked for."""
    ((id_,),) = rows("SELECT id FROM billing_refunds WHERE request_key = :key", key=key)
    with transaction() as session:
        refunds.record_refusal(
            session, int(str(id_)), CannotRefund("pay_1", "the gateway will not")
        )

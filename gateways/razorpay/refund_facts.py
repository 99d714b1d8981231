"""Razorpay's refunds and disputes in our words: the one place that knows their fields.

Used by the client for answers and by the webhook parser for the entities of a payload. Source:
the entities at razorpay.com/docs/api/refunds and razorpay.com/docs/api/disputes.
"""

from collections.abc import Mapping

from billing.returns import DisputeFacts, DisputeSeen, RefundFacts, RefundSeen
from gateways.entity import Entity
from gateways.refund_receipts import ours_or_none

_REFUND_SEEN: dict[str, RefundSeen] = {
    "pending": "submitted",
    "processed": "processed",
    "failed": "failed",
}
_DISPUTE_SEEN: dict[str, DisputeSeen] = {
    "open": "open",
    "under_review": "under_review",
    "won": "won",
    "lost": "lost",
    "closed": "closed",
}

_INQUIRIES = frozenset({"fraud", "retrieval"})
"""Phases in which a bank or a payer only asks: a suspicion, and a "soft" chargeback. A claim for
the money begins with `chargeback` (razorpay.com/docs/payments/disputes)."""


def refund_facts(entity: Mapping[str, object]) -> RefundFacts:
    """Read a refund entity; raises `UnreadableAnswer`, which names the field, never its value."""
    refund = Entity("razorpay", "refund", entity)
    # Bodies of 2020 have no status yet: under way, until the gateway is asked.
    status = refund.state("status") if entity.get("status") is not None else "pending"
    if status not in _REFUND_SEEN:
        raise refund.problem("status", "is not a known status")
    return RefundFacts(
        gateway="razorpay",
        refund_id=refund.identifier("id"),
        payment_id=refund.identifier("payment_id"),
        amount_paise=refund.paise("amount"),
        seen=_REFUND_SEEN[status],
        receipt=ours_or_none(refund),
    )


def dispute_facts(entity: Mapping[str, object]) -> DisputeFacts:
    """Read a dispute entity; raises `UnreadableAnswer`.

    Only the name of an event says that we have to act (`action_required`).
    """
    dispute = Entity("razorpay", "dispute", entity)
    status = dispute.state("status")
    if status not in _DISPUTE_SEEN:
        raise dispute.problem("status", "is not a known status")
    phase = dispute.code_or_none("phase")
    # In the other phases the amount may be gone from the start ("Deduct at Onset",
    # razorpay.com/docs/payments/disputes/chargeback-fees-and-penalties). A phase that we do not
    # know counts as a claim. What was deducted is gone, whatever the phase; of a claim it is not
    # read, since it decides nothing there.
    is_claim = phase not in _INQUIRIES or dispute.paise_or_zero("amount_deducted") > 0
    return DisputeFacts(
        gateway="razorpay",
        dispute_id=dispute.identifier("id"),
        payment_id=dispute.identifier("payment_id"),
        amount_paise=dispute.paise("amount"),
        seen=_DISPUTE_SEEN[status],
        moves_money=is_claim,
        phase=phase,
        reason_code=dispute.noted_code("reason_code"),
        respond_by=dispute.noted_moment("respond_by"),
    )

"""Stripe's refunds and disputes in our words: the one place that knows their fields.

Used by the client for answers and by the webhook parser for the objects of events. Both name the
payment by its intent. Source: docs.stripe.com/api/refunds/object, .../disputes/object.
"""

from collections.abc import Mapping

from billing.returns import DisputeFacts, DisputeSeen, RefundFacts, RefundSeen
from gateways.entity import Entity
from gateways.refund_receipts import ours_or_none

_REFUND_SEEN: dict[str, RefundSeen] = {
    "pending": "submitted",
    "requires_action": "submitted",
    "succeeded": "processed",
    "failed": "failed",
    "canceled": "failed",
}
_DISPUTE_SEEN: dict[str, DisputeSeen] = {
    "warning_needs_response": "open",
    "warning_under_review": "under_review",
    "warning_closed": "closed",
    "needs_response": "open",
    "under_review": "under_review",
    "appeal_needs_response": "under_review",
    "appeal_under_review": "under_review",
    "won": "won",
    "lost": "lost",
    "prevented": "closed",
}
_INQUIRY = "warning_"
"""Begins each status of an inquiry, in which a bank only asks (docs.stripe.com/disputes)."""


def refund_facts(entity: Mapping[str, object]) -> RefundFacts:
    """Read a refund; raises `UnreadableAnswer`, which names the field and never its value."""
    refund = Entity("stripe", "refund", entity)
    status = refund.state("status")
    if status not in _REFUND_SEEN:
        raise refund.problem("status", "is not a known status")
    return RefundFacts(
        gateway="stripe",
        refund_id=refund.identifier("id"),
        payment_id=_intent_of(refund),
        amount_paise=refund.paise("amount"),
        seen=_REFUND_SEEN[status],
        receipt=ours_or_none(refund.inner("metadata", "metadata")),
    )


def dispute_facts(entity: Mapping[str, object]) -> DisputeFacts:
    """Read a dispute or an inquiry; raises `UnreadableAnswer`."""
    dispute = Entity("stripe", "dispute", entity)
    status = dispute.state("status")
    if status not in _DISPUTE_SEEN:
        raise dispute.problem("status", "is not a known status")
    # Every withdrawal from our balance is listed; an empty list says that there was none.
    nothing_moved = dispute.fields.get("balance_transactions") == []
    evidence = dispute.inner("evidence_details", "evidence_details")
    return DisputeFacts(
        gateway="stripe",
        dispute_id=dispute.identifier("id"),
        payment_id=_intent_of(dispute),
        amount_paise=dispute.paise("amount"),
        seen=_DISPUTE_SEEN[status],
        moves_money=not (status.startswith(_INQUIRY) or nothing_moved),
        phase=_case_type(dispute),
        reason_code=dispute.noted_code("reason"),
        respond_by=evidence.noted_moment("due_by") if evidence else None,
    )


def _intent_of(entity: Entity) -> str:
    """Return the payment's id, whether the intent is expanded or not."""
    intent = entity.inner("payment_intent", "payment_intent")
    return intent.identifier("id") if intent else entity.identifier("payment_intent")


def _case_type(dispute: Entity) -> str | None:
    """Return what the card's network calls the case: `inquiry`, `chargeback`, ..."""
    details = dispute.inner("payment_method_details", "payment_method_details")
    card = details.inner("card", "card") if details else None
    return card.noted_code("case_type") if card else None

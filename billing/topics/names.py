"""The names of the topics: of everything that others are notified of.

Each area writes its own; `Topic("payment.captured")` refuses a name that is not listed here. A
name never changes once it is in use: platforms route by it.
"""

from enum import StrEnum


class Topic(StrEnum):
    """What happened, as `<subject>.<event>`."""

    BALANCE_LOW = "balance.low"
    BALANCE_EXHAUSTED = "balance.exhausted"
    BALANCE_IN_DEBT = "balance.in_debt"
    BALANCE_RECOVERED = "balance.recovered"

    LEAD_CHARGED = "lead.charged"
    LEAD_PARKED = "lead.parked"
    LEAD_RELEASED = "lead.released"
    LEAD_CANCELLED = "lead.cancelled"
    LEAD_REFUNDED = "lead.refunded"
    LEAD_CONFLICT = "lead.conflict"
    LEAD_REFUSED = "lead.refused"

    DISPUTE_OPENED = "dispute.opened"
    DISPUTE_RESOLVED = "dispute.resolved"
    ACCOUNT_REVIEW = "account.review"

    PAYMENT_CAPTURED = "payment.captured"
    PAYMENT_PARTIALLY_REFUNDED = "payment.partially_refunded"
    """An operator attached a payment of which a part is already refunded."""
    PAYMENT_FAILED = "payment.failed"
    PAYMENT_UNMATCHED = "payment.unmatched"
    PAYMENT_QUARANTINED = "payment.quarantined"

    REFUND_REQUESTED = "refund.requested"
    REFUND_SUBMITTED = "refund.submitted"
    REFUND_UNKNOWN = "refund.unknown"
    REFUND_PROCESSED = "refund.processed"
    REFUND_FAILED = "refund.failed"

    CHARGEBACK_OPEN = "chargeback.open"
    CHARGEBACK_UNDER_REVIEW = "chargeback.under_review"
    CHARGEBACK_ACTION_REQUIRED = "chargeback.action_required"
    CHARGEBACK_WON = "chargeback.won"
    CHARGEBACK_LOST = "chargeback.lost"
    CHARGEBACK_CLOSED = "chargeback.closed"

    PLAN_ACTIVATED = "plan.activated"
    PLAN_RENEWED = "plan.renewed"
    PLAN_ACTIVE = "plan.active"
    PLAN_DUE_SOON = "plan.due_soon"
    PLAN_PAST_DUE = "plan.past_due"
    PLAN_DEGRADED = "plan.degraded"
    PLAN_REFUNDED = "plan.refunded"
    RENEWAL_REMINDER = "renewal.reminder"

    GATEWAY_SILENT = "gateway.silent"
    GATEWAY_HEARD = "gateway.heard"

    ENDPOINT_FAILING = "endpoint.failing"
    ENDPOINT_OFF = "endpoint.off"
    ENDPOINT_TEST = "endpoint.test"
    """Sent to one endpoint, and only when an operator asks for it."""

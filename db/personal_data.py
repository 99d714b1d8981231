"""Which columns may hold personal data, what ends it, and which columns hold none.

Every column of text, JSON or bytes of every table is named here once: a test fails on one that is
not (tests/db/test_personal_data.py). Retention (the functions of migration 0010) and `billing
privacy erase` (`billing/privacy/`) blank the columns with a `blank`. How to sort in a new column:

- it may hold what somebody wrote about a person, or how to reach one: `PERSONAL`, with `blank` if
  nothing that counts needs it, else with `kept`, the reason;
- it is an id, a state, a number of ours, a name of the catalog: `NOT_PERSONAL`. Ids of leads,
  accounts and payments are here: platforms and gateways choose them, and they stay because each
  effect happens once for its id.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Personal:
    """What of a person a column may hold; exactly one of `blank` and `kept` says what ends it."""

    holds: str
    blank: str | None = None
    """The SQL value that it becomes."""
    kept: str | None = None
    """Why it is never shortened."""


_LEDGER = "the ledger is append-only, and a hash chain covers it"
_LOG = "the audit log proves who changed what"
_TAX = "tax documents name the customer: kept for 72 months after the annual return"
_STAFF = "who did it: a name of ours, not of a payer"

PERSONAL: Mapping[str, Mapping[str, Personal]] = {
    "accounts": {
        "name": Personal("the customer's name", kept=_TAX),
        "gstin": Personal("the customer's tax number, which holds a PAN", kept=_TAX),
        "state_code": Personal("where the customer is", kept=_TAX),
    },
    "api_requests": {
        "answer": Personal("what a platform was answered, texts of disputes among it", "'{}'"),
    },
    "billing_audit_log": {
        "actor": Personal(_STAFF, kept=_LOG),
        "before": Personal("names, reasons and notes", kept=_LOG),
        "after": Personal("names, reasons and notes", kept=_LOG),
    },
    "billing_orders": {
        "return_url": Personal("a page of the platform, for one customer", "NULL"),
        "checkout_url": Personal("a page of the gateway, for one payer", "NULL"),
        "last_error": Personal("what a gateway wrote", "NULL"),
        "requested_by": Personal(_STAFF, kept=_LOG),
    },
    "billing_refunds": {
        "reason": Personal("what an operator or a platform wrote", "''"),
        "last_error": Personal("what a gateway wrote", "NULL"),
        "requested_by": Personal(_STAFF, kept=_LOG),
    },
    "credit_transactions": {
        "actor": Personal(_STAFF, kept=_LEDGER),
        "description": Personal("the reason that somebody wrote", kept=_LEDGER),
    },
    "hold_events": {"actor": Personal(_STAFF, kept="the events of a hold prove what was held")},
    "holds": {
        "actor": Personal(_STAFF, kept="the events of a hold prove what was held"),
        "description": Personal("the reason that somebody wrote", kept=_LEDGER),
    },
    "inbound_events": {
        "body": Personal("e-mail, phone and VPA of payers; leads; texts of disputes", "''"),
        "last_error": Personal("what a sender wrote", "split_part(last_error, ':', 1)"),
    },
    "lead_conflicts": {"actor": Personal(_STAFF, kept=_LEDGER)},
    "lead_disputes": {
        "description": Personal("what a clinic wrote about a lead", "''"),
        "evidence": Personal("what a clinic sent about a lead", "NULL"),
        "notes": Personal("what an operator wrote about a lead", "NULL"),
        "opened_by": Personal(_STAFF, kept=_LOG),
        "resolved_by": Personal(_STAFF, kept=_LOG),
    },
    "notice_attempts": {
        "response_head": Personal(
            "what an endpoint answered, which may repeat what it was sent: ids and amounts",
            kept="up to 1 KiB that says why a notice failed",
        ),
    },
    "notice_endpoints": {"created_by": Personal(_STAFF, kept=_LOG)},
    "notice_contacts": {
        "address": Personal("an e-mail address of a customer or of ours", "NULL"),
        "created_by": Personal(_STAFF, kept=_LOG),
    },
    "plan_terms": {"actor": Personal(_STAFF, kept=_LEDGER)},
}

_OF_REQUEST = frozenset({"request_id"})
"""Its form leaves no room for a number or an address of a person (`service/request_ids.py`)."""

NOT_PERSONAL: Mapping[str, frozenset[str]] = {
    "account_plans": frozenset(
        {"plan_type", "service_renewal_status", "features", "grant_problem", "step_problem"}
    )
    | _OF_REQUEST,
    "accounts": frozenset(
        {"ref", "product", "timezone", "head_hash", "alert_level", "review_reason"}
    )
    | _OF_REQUEST,
    "api_keys": frozenset({"name", "key_sha256", "product", "scopes"}),
    "api_requests": frozenset(
        {"caller", "idempotency_key", "request", "request_hash", "reach", "operation_key"}
    )
    | _OF_REQUEST,
    "billing_audit_log": frozenset({"door", "action", "subject"}) | _OF_REQUEST,
    "billing_chargebacks": frozenset(
        {"gateway", "gateway_dispute_id", "phase", "reason_code", "state", "position"}
        | {"settlement_error"}  # of ours: a kind, ids, amounts
    )
    | _OF_REQUEST,
    "billing_orders": frozenset(
        {"gateway", "receipt", "gateway_order_id", "package", "plan", "currency", "state"}
    )
    | _OF_REQUEST,
    "billing_payments": frozenset(
        {"gateway", "gateway_payment_id", "gateway_order_id", "receipt", "state", "reason"}
        | {"currency", "method", "error_code", "error_reason"}
    )
    | _OF_REQUEST,
    "billing_refunds": frozenset(
        {"gateway", "gateway_refund_id", "request_key", "receipt", "state", "position"}
        | {"settlement_error"}
    )
    | _OF_REQUEST,
    "credit_debts": frozenset(),
    "credit_lots": frozenset({"source"}),
    "credit_transactions": frozenset(
        {"kind", "idempotency_key", "request_hash", "lead_id", "payment_id", "dispute_id"}
        | {"row_hash"}
    )
    | _OF_REQUEST,
    "gateway_signs": frozenset({"gateway"}),
    "hold_events": frozenset({"event"}) | _OF_REQUEST,
    "holds": frozenset({"state", "idempotency_key", "finish_key", "kind"}) | _OF_REQUEST,
    "inbound_events": frozenset(
        {"source", "event_id", "body_sha256", "type", "state", "outcome", "lead_id", "account_ref"}
    )
    | _OF_REQUEST,
    "lead_charges": frozenset({"lead_id", "state", "source"}) | _OF_REQUEST,
    "lead_conflicts": frozenset({"lead_id"}) | _OF_REQUEST,
    "lead_disputes": frozenset({"lead_id", "type", "state", "request_key"}) | _OF_REQUEST,
    "notice_attempts": frozenset({"error"}),  # of ours: a kind
    "notice_contacts": frozenset({"topics", "unsubscribed"}) | _OF_REQUEST,
    "notice_deliveries": frozenset({"state", "last_error"}),
    "notice_endpoint_secrets": frozenset({"secret_encrypted"}),
    "notice_endpoints": frozenset(
        {"product", "url", "description", "topics", "state", "state_reason"}  # of platforms
    ),
    "notice_lanes": frozenset({"delivery_ids"}),
    "notice_mails": frozenset({"kind", "once_for", "state", "reason"}) | _OF_REQUEST,
    "notice_positions": frozenset(),
    "notice_sequences": frozenset(),
    "outbox_events": frozenset({"topic", "subject", "payload", "product", "body"})
    | _OF_REQUEST,  # ids, states, amounts, days
    "plan_terms": frozenset({"kind", "request_key"}) | _OF_REQUEST,
    "quality_scores": frozenset({"subject_kind", "subject", "grade"}),
    "retention_progress": frozenset({"name"}),
    "transaction_kinds": frozenset({"kind", "house_account"}),
}

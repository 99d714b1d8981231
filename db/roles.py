"""The roles of the database, and what each may do with each table.

- *owner* (DATABASE_OWNER_URL) owns the tables, migrates and makes API keys.
- *workers* (DATABASE_URL) work by the rules: they read the ledger and add rows to it, and cannot
  change or delete one, disable a trigger or define anything.
- *doors* (DATABASE_DOORS_URL) are receiver and API, which strangers reach: what `_of_doors`
  names, no more. They can neither make, revive nor widen an API key.
- *retention* (DATABASE_RETENTION_URL) calls the functions of `RETENTION_FUNCTIONS`, nothing else.

An address that is not set is another one's (`settings`): a PostgreSQL role has the rights of all
that it stands for. `db/grants.py` grants them after every migration.
docs/decisions/0005-two-database-roles.md says why.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from sqlalchemy import make_url

import settings


class Role(StrEnum):
    """Whom a process is to the database."""

    OWNER = "owner"
    WORKERS = "workers"
    DOORS = "doors"
    RETENTION = "retention"


VARIABLES = {
    Role.OWNER: "DATABASE_OWNER_URL",
    Role.WORKERS: "DATABASE_URL",
    Role.DOORS: "DATABASE_DOORS_URL",
    Role.RETENTION: "DATABASE_RETENTION_URL",
}

Right = tuple[str, str | None]
"""A privilege, and the column that it is for; None: the whole table."""
Addresses = Mapping[Role, str]
"""The address of the database (SQLAlchemy form) for each role."""


def addresses(known: settings.Settings) -> Addresses:
    """Return the address of each role, by the settings."""
    return {role: getattr(known, variable.lower()) for role, variable in VARIABLES.items()}


def url_of(role: Role) -> str:
    """Return the address of the database for `role`, by the settings of this process."""
    address: str = getattr(settings.get(), VARIABLES[role].lower())  # the others may be wrong
    return address


def role_of(database_url: str) -> str | None:
    """Return the role that a URL names; None if it names none."""
    url = make_url(database_url)
    named = url.username or url.query.get("user")
    return named if isinstance(named, str) else None


def quoted(name: str) -> str:
    """Return a name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


READ_ONLY = frozenset(
    {"alembic_version", "api_keys", "transaction_kinds"}
    | {"retention_progress", "retention_leftovers"}
)
"""Tables that the owner, or functions of migrations, write and processes only read."""

APPEND_ONLY = frozenset(
    {"credit_transactions", "lot_movements", "hold_events", "billing_audit_log", "lead_conflicts"}
    | {"plan_terms"}
)
"""Tables whose rows are added and never changed. Named here instead of read from the triggers that
guard them: if a trigger was dropped, the next migration would grant the right to change its table.
`billing/verification/schema.py` checks the triggers."""

FIXED_COLUMNS = {
    "accounts": {"id", "ref", "created_at", "request_id"},
    "inbound_events": {
        "id", "source", "event_id", "body_sha256", "body", "received_at", "blanked_at",
        "request_id",
    },
    "credit_lots": {
        "id", "account_id", "transaction_id", "source", "amount", "expires_at", "created_at",
    },
    "credit_debts": {"charge_id", "account_id", "amount", "created_at"},
    "holds": {
        "id", "account_id", "amount", "idempotency_key", "kind", "actor", "description",
        "created_at", "expires_at", "request_id",
    },
    "lead_charges": {"lead_id", "account_id", "created_at", "request_id"},
    "notice_contacts": {"id", "account_id", "created_by", "created_at", "request_id"},
    "notice_mails": {
        "id", "contact_id", "kind", "notice_id", "once_for", "created_at", "request_id",
    },
    "outbox_events": {
        "id", "topic", "subject", "account_id", "payload", "created_at", "request_id",
    },
    "billing_orders": {
        "id", "account_id", "gateway", "receipt", "package", "plan", "amount_paise", "currency",
        "credits", "bonus_credits", "requested_by", "created_at", "request_id",
    },
    "billing_payments": {"id", "gateway", "gateway_payment_id", "created_at", "request_id"},
    "billing_refunds": {
        "id", "payment_id", "gateway", "request_key", "receipt", "amount_paise", "reason",
        "requested_by", "created_at", "request_id",
    },
    "billing_chargebacks": {
        "id", "payment_id", "gateway", "gateway_dispute_id", "created_at", "request_id",
    },
    "lead_disputes": {
        "id", "lead_id", "account_id", "type", "description", "evidence", "request_key",
        "opened_by", "created_at", "request_id",
    },
    "account_plans": {"account_id", "plan_type", "created_at", "request_id"},
    "api_requests": {"caller", "idempotency_key", "operation_key", "created_at", "folded_at"},
    "notice_endpoints": {
        "id", "product", "account_id", "url", "ordered", "created_at", "created_by",
    },
    "notice_endpoint_secrets": {"id", "endpoint_id", "created_at"},
    "notice_deliveries": {
        "id", "notice_id", "endpoint_id", "position", "line_account_id", "created_at",
    },
}  # fmt: skip
"""Columns that no process changes once they are written, in tables that it may otherwise update. A
table that is neither named here nor read-only nor append-only may be updated freely."""


RETENTION_FUNCTIONS = ("retention_blank", "retention_fold")
"""Functions of migrations that change what nobody else may; only retention calls them."""


_DOORS_READ = frozenset(
    {"alembic_version", "api_keys", "lead_charges", "lead_conflicts", "transaction_kinds"}
    | {"billing_chargebacks", "outbox_events", "notice_positions"}
)
_DOORS_ADD = frozenset(
    {"credit_transactions", "lot_movements", "hold_events", "billing_audit_log", "plan_terms"}
    | {"inbound_events", "accounts", "notice_mails"}
)
"""Tables that receiver and API add rows to; they do not touch a delivery again."""
_DOORS_CHANGE = frozenset(
    {"api_requests", "credit_lots", "credit_debts", "holds", "quality_scores"}
    | {"billing_orders", "billing_payments", "billing_refunds", "lead_disputes", "account_plans"}
    | {"notice_contacts"}
)
"""Tables in which they change what workers may change."""
_DOORS_ADD_COLUMNS = {
    # What happened. Its position and what is sent of it are the workers'.
    "outbox_events": {
        "topic", "subject", "account_id", "payload", "created_at", "superseded_at", "request_id",
    },
}  # fmt: skip
"""Tables that they add rows to, without some columns."""
_DOORS_COLUMNS = {
    # What a charge, a review and a PATCH change: not the product, which an API key's reach depends
    # on.
    "accounts": {
        "balance", "held", "version", "head_hash", "alert_level", "review_reason", "name",
        "timezone", "low_balance", "overdraft_limit", "state_code", "gstin",
    },
    # A payment that a browser reports pays for parked leads.
    "lead_charges": {"state", "transaction_id", "updated_at"},
    # What a payment or a refund changes in what a chargeback takes back.
    "billing_chargebacks": {
        "settled_at", "position", "credits", "bonus_credits", "hold_id", "takes", "debt",
        "updated_at", "settlement_error", "settlement_failed_at",
    },
}  # fmt: skip


def rights(
    asked: Role, table: str, columns: Iterable[str], *, append_only: bool = False
) -> set[Right]:
    """Return what a role may do with a table; `append_only`: it has the trigger of such a table."""
    of_workers = _of_workers(table, columns, append_only=append_only or table in APPEND_ONLY)
    if asked is Role.WORKERS:
        return of_workers
    return _of_doors(table, of_workers) if asked is Role.DOORS else set()


def _of_workers(table: str, columns: Iterable[str], *, append_only: bool) -> set[Right]:
    if table in READ_ONLY:
        return {("SELECT", None)}
    may: set[Right] = {("SELECT", None), ("INSERT", None)}
    if not append_only:
        fixed = FIXED_COLUMNS.get(table, set())
        may |= {("UPDATE", column) for column in columns if column not in fixed}
    return may


def _of_doors(table: str, of_workers: set[Right]) -> set[Right]:
    if table in _DOORS_CHANGE:
        return of_workers
    may: set[Right] = set()
    if table in _DOORS_READ | _DOORS_ADD:
        may.add(("SELECT", None))
    if table in _DOORS_ADD:
        may.add(("INSERT", None))
    may |= {("INSERT", column) for column in _DOORS_ADD_COLUMNS.get(table, set())}
    return may | {("UPDATE", column) for column in _DOORS_COLUMNS.get(table, set())}

"""The rights of the application's role, granted again after every migration.

The owner of the tables migrates (DATABASE_OWNER_URL). The processes work as another role
(DATABASE_URL): it reads the ledger and adds rows to it, but cannot change or delete a row, disable
a trigger or define anything. Called by `db/migrations/env.py` in the transaction of the
migrations. docs/decisions/0005-two-database-roles.md says why.
"""

from collections.abc import Iterable
from enum import StrEnum

from sqlalchemy import Connection, make_url, text

import settings
from errors import PermanentError


class Role(StrEnum):
    """Whom a process is to the database."""

    OWNER = "owner"
    WORKERS = "workers"
    RETENTION = "retention"


VARIABLES = {
    Role.OWNER: "DATABASE_OWNER_URL",
    Role.WORKERS: "DATABASE_URL",
    Role.RETENTION: "DATABASE_RETENTION_URL",
}


def url_of(role: Role) -> str:
    """Return the address of the database for `role`, by the settings of this process."""
    return str(getattr(settings.get(), VARIABLES[role].lower()))


READ_ONLY = frozenset(
    {"alembic_version", "transaction_kinds", "retention_progress", "retention_leftovers"}
)
"""Tables that migrations, or functions of theirs, write and processes only read."""

APPEND_ONLY = frozenset(
    {"credit_transactions", "lot_movements", "hold_events", "billing_audit_log", "lead_conflicts"}
    | {"plan_terms"}
)
"""Tables whose rows are added and never changed. Named here instead of read from the triggers that
guard them: if a trigger was dropped, the next migration would grant the right to change its table.
`billing/verification/schema.py` checks the triggers."""

FIXED_COLUMNS = {
    "accounts": {"id", "ref", "created_at"},
    "inbound_events": {
        "id", "source", "event_id", "body_sha256", "body", "received_at", "blanked_at",
    },
    "credit_lots": {
        "id", "account_id", "transaction_id", "source", "amount", "expires_at", "created_at",
    },
    "credit_debts": {"charge_id", "account_id", "amount", "created_at"},
    "holds": {
        "id", "account_id", "amount", "idempotency_key", "kind", "actor", "description",
        "created_at", "expires_at",
    },
    "lead_charges": {"lead_id", "account_id", "created_at"},
    "outbox_events": {"id", "topic", "subject", "account_id", "payload", "created_at"},
    "billing_orders": {
        "id", "account_id", "gateway", "receipt", "package", "plan", "amount_paise", "currency",
        "credits", "bonus_credits", "requested_by", "created_at",
    },
    "billing_payments": {"id", "gateway", "gateway_payment_id", "created_at"},
    "billing_refunds": {
        "id", "payment_id", "gateway", "request_key", "receipt", "amount_paise", "reason",
        "requested_by", "created_at",
    },
    "billing_chargebacks": {"id", "payment_id", "gateway", "gateway_dispute_id", "created_at"},
    "lead_disputes": {
        "id", "lead_id", "account_id", "type", "description", "evidence", "request_key",
        "opened_by", "created_at",
    },
    "account_plans": {"account_id", "plan_type", "created_at"},
    "api_requests": {"caller", "idempotency_key", "operation_key", "created_at", "folded_at"},
    "api_keys": {"id", "name", "key_sha256", "product", "account_id", "scopes", "created_at"},
}  # fmt: skip
"""Columns that no process changes once they are written, in tables that it may otherwise update. A
table that is neither named here nor read-only nor append-only may be updated freely."""


class UnknownRole(PermanentError):
    """The role of DATABASE_URL does not exist on the server."""

    def __init__(self, role: str) -> None:
        super().__init__(
            f"the role {role!r} of DATABASE_URL does not exist in PostgreSQL:"
            f" create it (docs/how-to/run-on-your-own-servers.md), then run `billing migrate` again"
        )
        self.role = role


def role_of(database_url: str) -> str | None:
    """Return the role that a URL names; None if it names none."""
    url = make_url(database_url)
    named = url.username or url.query.get("user")
    return named if isinstance(named, str) else None


def grant(connection: Connection, role: str) -> None:
    """Grant `role` what the processes need on every table, and revoke everything else.

    Does nothing if `role` is the connected role, which is the owner. Repeated after every
    migration, in one transaction: running processes keep their rights. Raises `UnknownRole`.
    """
    if connection.scalar(text("SELECT current_user")) == role:
        return
    if not connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}):
        raise UnknownRole(role)
    schema = str(connection.scalar(text("SELECT current_schema()")))
    quote = connection.dialect.identifier_preparer.quote_identifier
    for statement in _statements(connection, schema, quote(schema), quote(role)):
        connection.exec_driver_sql(statement)


def _statements(
    connection: Connection, schema: str, quoted_schema: str, role: str
) -> Iterable[str]:
    quote = connection.dialect.identifier_preparer.quote_identifier
    if connection.scalar(_MAY_CREATE, {"schema": schema}):
        # The default before PostgreSQL 15, and in databases upgraded from it.
        yield f"REVOKE CREATE ON SCHEMA {quoted_schema} FROM PUBLIC"
    yield f"REVOKE ALL ON SCHEMA {quoted_schema} FROM {role}"
    yield f"GRANT USAGE ON SCHEMA {quoted_schema} TO {role}"
    for table in connection.execute(_RELATIONS, {"schema": schema}).all():
        name = f"{quoted_schema}.{quote(table.name)}"
        if table.kind == "S":
            yield f"REVOKE ALL ON SEQUENCE {name} FROM {role}"
            yield f"GRANT USAGE ON SEQUENCE {name} TO {role}"
            continue
        yield f"REVOKE ALL ON {name} FROM {role}"
        yield f"GRANT SELECT ON {name} TO {role}"
        if table.kind != "v" and table.name not in READ_ONLY:
            yield f"GRANT INSERT ON {name} TO {role}"
            fixed = FIXED_COLUMNS.get(table.name, set())
            columns = ", ".join(quote(c) for c in table.columns if c not in fixed)
            if columns and not (table.append_only or table.name in APPEND_ONLY):
                yield f"GRANT UPDATE ({columns}) ON {name} TO {role}"


_MAY_CREATE = text("""
SELECT EXISTS (SELECT FROM pg_namespace n, aclexplode(n.nspacl) a
                WHERE n.nspname = :schema AND a.grantee = 0 AND a.privilege_type = 'CREATE')
""")
_RELATIONS = text("""
SELECT c.relname AS name, c.relkind AS kind,
       EXISTS (SELECT FROM pg_trigger g
                WHERE g.tgrelid = c.oid AND g.tgname = 'append_only') AS append_only,
       ARRAY(SELECT CAST(attname AS text) FROM pg_attribute
              WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS columns
  FROM pg_class c
 WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = :schema)
   AND c.relkind IN ('r', 'p', 'v', 'S')
   AND pg_has_role(c.relowner, 'MEMBER')
 ORDER BY c.relname
""")

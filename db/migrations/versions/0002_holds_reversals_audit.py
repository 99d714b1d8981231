"""Holds and their events, reversals, expiry and write-off, the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Frozen here: what the ledger of this revision knows. The rules of a kind are billing/kinds.py's.
NEW_HOUSE_ACCOUNTS = {
    "usage": "revenue:usage",
    "lead_refund": "revenue:leads",
    "usage_refund": "revenue:usage",
    "expiry": "breakage",
    "write_off": "adjustments",
}
OLD_KINDS = ("lead_charge", "top_up", "bonus", "grant", "goodwill", "adjustment")

APPEND_ONLY = ("hold_events", "billing_audit_log")


def _allow_kinds(kinds: tuple[str, ...]) -> None:
    op.drop_constraint(op.f("ck_credit_transactions_kind"), "credit_transactions")
    # In the transaction of all migrations: the table stays locked while its rows are looked at.
    # NOT VALID spares nothing here; it would if the validation were a transaction of its own.
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    op.execute(
        "ALTER TABLE credit_transactions ADD CONSTRAINT ck_credit_transactions_kind"
        f" CHECK (kind IN ({listed})) NOT VALID"
    )
    op.execute("ALTER TABLE credit_transactions VALIDATE CONSTRAINT ck_credit_transactions_kind")


def upgrade() -> None:
    _allow_kinds((*OLD_KINDS, *NEW_HOUSE_ACCOUNTS))
    op.bulk_insert(
        sa.table("transaction_kinds", sa.column("kind"), sa.column("house_account")),
        [{"kind": kind, "house_account": house} for kind, house in NEW_HOUSE_ACCOUNTS.items()],
    )
    op.add_column("credit_transactions", sa.Column("reverses_id", sa.BigInteger()))
    op.create_foreign_key(
        op.f("fk_credit_transactions_reverses_id"),
        "credit_transactions",
        "credit_transactions",
        ["reverses_id"],
        ["id"],
    )
    op.create_index(
        "ix_credit_transactions_reversals",
        "credit_transactions",
        ["reverses_id"],
        postgresql_where=sa.text("reverses_id IS NOT NULL"),
    )
    op.create_table(
        "holds",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("captured", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("finish_key", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("transaction_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("amount > 0", name=op.f("ck_holds_amount")),
        sa.CheckConstraint("captured BETWEEN 0 AND amount", name=op.f("ck_holds_captured")),
        sa.CheckConstraint(
            "state IN ('open', 'captured', 'voided', 'expired')", name=op.f("ck_holds_state")
        ),
        sa.CheckConstraint(
            "(state = 'open') = (finished_at IS NULL)", name=op.f("ck_holds_finished")
        ),
        sa.CheckConstraint(
            "(state = 'captured') = (transaction_id IS NOT NULL)", name=op.f("ck_holds_transaction")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_holds_account_id")),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["credit_transactions.id"], name=op.f("fk_holds_transaction_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_holds_idempotency_key")),
    )
    op.create_index(
        "ix_holds_open", "holds", ["expires_at"], postgresql_where=sa.text("state = 'open'")
    )
    op.create_index(
        "ix_holds_open_account",
        "holds",
        ["account_id"],
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "hold_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("hold_id", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "event IN ('placed', 'captured', 'released', 'voided', 'expired')",
            name=op.f("ck_hold_events_event"),
        ),
        sa.ForeignKeyConstraint(["hold_id"], ["holds.id"], name=op.f("fk_hold_events_hold_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hold_events")),
    )
    op.create_index(op.f("ix_hold_events_hold_id"), "hold_events", ["hold_id"])
    op.create_table(
        "billing_audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("before", sa.dialects.postgresql.JSONB(), nullable=True),
        sa.Column("after", sa.dialects.postgresql.JSONB(), nullable=True),
        sa.CheckConstraint(
            "door IN ('cli', 'api', 'webhook', 'celery', 'beat')",
            name=op.f("ck_billing_audit_log_door"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_audit_log")),
    )
    op.create_index(op.f("ix_billing_audit_log_subject_id"), "billing_audit_log", ["subject", "id"])
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only")
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only_truncate")


def downgrade() -> None:
    op.drop_table("billing_audit_log")
    op.drop_table("hold_events")
    op.drop_table("holds")
    op.drop_index("ix_credit_transactions_reversals", table_name="credit_transactions")
    op.drop_column("credit_transactions", "reverses_id")
    op.execute(
        sa.text("DELETE FROM transaction_kinds WHERE kind = ANY(:kinds)").bindparams(
            kinds=list(NEW_HOUSE_ACCOUNTS)
        )
    )
    _allow_kinds(OLD_KINDS)

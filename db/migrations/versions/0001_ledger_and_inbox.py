"""The ledger, its accounts, lots and debts; the inbox; the lead charges."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Frozen here: what the ledger of this revision knows. The rules of a kind are billing/kinds.py's.
HOUSE_ACCOUNTS = {
    "lead_charge": "revenue:leads",
    "top_up": "funding:payments",
    "bonus": "promotions:bonus",
    "grant": "plan:grants",
    "goodwill": "adjustments",
    "adjustment": "adjustments",
}

APPEND_ONLY = ("credit_transactions", "lot_movements")

REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING HINT = 'Post a correcting row instead.', ERRCODE = 'restrict_violation';
END
$$
"""

# Both sides of every row. A posting has one customer and one house account, so that the two
# lines of a row always sum to nought; the house side is derived and needs no lock.
LEDGER_ENTRIES = """
CREATE VIEW ledger_entries AS
SELECT t.id AS transaction_id, 'customer' AS side, a.ref AS account, t.amount,
       t.kind, t.event_at, t.created_at
  FROM credit_transactions t JOIN accounts a ON a.id = t.account_id
UNION ALL
SELECT t.id, 'house', k.house_account, -t.amount, t.kind, t.event_at, t.created_at
  FROM credit_transactions t LEFT JOIN transaction_kinds k ON k.kind = t.kind
"""


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("overdraft_limit", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("balance", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("held", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("head_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("held >= 0", name=op.f("ck_accounts_held")),
        sa.CheckConstraint("overdraft_limit >= 0", name=op.f("ck_accounts_overdraft_limit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("ref", name=op.f("uq_accounts_ref")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "inbound_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("body_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_id", sa.Uuid(), nullable=True),
        sa.Column("lease_size", sa.BigInteger(), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("handled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'done', 'dead', 'ignored')", name=op.f("ck_inbound_events_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbound_events")),
        sa.UniqueConstraint(
            "source",
            "event_id",
            "body_sha256",
            name=op.f("uq_inbound_events_source_event_id_body_sha256"),
        ),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index(
        "ix_inbound_events_dead",
        "inbound_events",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state = 'dead'"),
    )
    op.create_index(
        "ix_inbound_events_due",
        "inbound_events",
        ["source", "next_attempt_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_table(
        "transaction_kinds",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("house_account", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_transaction_kinds")),
    )
    op.create_table(
        "credit_transactions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("balance_after", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("lead_id", sa.Text(), nullable=True),
        sa.Column("payment_id", sa.Text(), nullable=True),
        sa.Column("dispute_id", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("event_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("row_hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_credit_transactions_amount")),
        sa.CheckConstraint("version > 0", name=op.f("ck_credit_transactions_version")),
        sa.CheckConstraint(
            "kind IN ('lead_charge', 'top_up', 'bonus', 'grant', 'goodwill', 'adjustment')",
            name=op.f("ck_credit_transactions_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_credit_transactions_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_transactions")),
        sa.UniqueConstraint(
            "account_id", "version", name=op.f("uq_credit_transactions_account_id_version")
        ),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_credit_transactions_idempotency_key")),
    )
    op.create_table(
        "credit_debts",
        sa.Column("charge_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(remaining = 0) = (settled_at IS NOT NULL)", name=op.f("ck_credit_debts_settled")
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_credit_debts_amount")),
        sa.CheckConstraint(
            "remaining BETWEEN 0 AND amount", name=op.f("ck_credit_debts_remaining")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_credit_debts_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["charge_id"], ["credit_transactions.id"], name=op.f("fk_credit_debts_charge_id")
        ),
        sa.PrimaryKeyConstraint("charge_id", name=op.f("pk_credit_debts")),
    )
    op.create_index(
        "ix_credit_debts_open",
        "credit_debts",
        ["account_id"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.create_table(
        "credit_lots",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("exhausted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "source IN ('purchase', 'bonus', 'grant', 'goodwill')",
            name=op.f("ck_credit_lots_source"),
        ),
        sa.CheckConstraint(
            "(remaining = 0) = (exhausted_at IS NOT NULL)", name=op.f("ck_credit_lots_exhausted")
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_credit_lots_amount")),
        sa.CheckConstraint("remaining BETWEEN 0 AND amount", name=op.f("ck_credit_lots_remaining")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_credit_lots_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["transaction_id"],
            ["credit_transactions.id"],
            name=op.f("fk_credit_lots_transaction_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_lots")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "ix_credit_lots_open",
        "credit_lots",
        ["account_id"],
        unique=False,
        postgresql_where=sa.text("exhausted_at IS NULL"),
    )
    op.create_table(
        "lead_charges",
        sa.Column("lead_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("package_price_paise", sa.BigInteger(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("transaction_id", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(transaction_id IS NULL) = (state IN ('parked', 'conflict'))",
            name=op.f("ck_lead_charges_charged"),
        ),
        sa.CheckConstraint(
            "state IN ('charged', 'parked', 'conflict', 'refunded')",
            name=op.f("ck_lead_charges_state"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_lead_charges_account_id")
        ),
        sa.PrimaryKeyConstraint("lead_id", name=op.f("pk_lead_charges")),
    )
    op.create_index(
        "ix_lead_charges_parked",
        "lead_charges",
        ["account_id", "created_at", "lead_id"],
        unique=False,
        postgresql_where=sa.text("state = 'parked'"),
    )
    op.create_table(
        "lot_movements",
        sa.Column("charge_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("lot_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("transaction_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_lot_movements_amount")),
        sa.ForeignKeyConstraint(
            ["lot_id"], ["credit_lots.id"], name=op.f("fk_lot_movements_lot_id")
        ),
        sa.PrimaryKeyConstraint(
            "charge_id", "lot_id", "transaction_id", name=op.f("pk_lot_movements")
        ),
    )
    op.bulk_insert(
        sa.table("transaction_kinds", sa.column("kind"), sa.column("house_account")),
        [{"kind": kind, "house_account": house} for kind, house in HOUSE_ACCOUNTS.items()],
    )
    op.execute(REFUSE_CHANGE)
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        # ALWAYS: also on a replica's apply worker and under session_replication_role = replica.
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only")
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only_truncate")
    op.execute(LEDGER_ENTRIES)


def downgrade() -> None:
    op.execute("DROP VIEW ledger_entries")
    op.drop_table("lot_movements")
    op.drop_index(
        "ix_lead_charges_parked",
        table_name="lead_charges",
        postgresql_where=sa.text("state = 'parked'"),
    )
    op.drop_table("lead_charges")
    op.drop_index(
        "ix_credit_lots_open",
        table_name="credit_lots",
        postgresql_where=sa.text("exhausted_at IS NULL"),
    )
    op.drop_table("credit_lots")
    op.drop_index(
        "ix_credit_debts_open",
        table_name="credit_debts",
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.drop_table("credit_debts")
    op.drop_table("credit_transactions")
    op.drop_table("transaction_kinds")
    op.drop_index(
        "ix_inbound_events_due",
        table_name="inbound_events",
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.drop_index(
        "ix_inbound_events_dead",
        table_name="inbound_events",
        postgresql_where=sa.text("state = 'dead'"),
    )
    op.drop_table("inbound_events")
    op.drop_table("accounts")
    op.execute("DROP FUNCTION refuse_change()")

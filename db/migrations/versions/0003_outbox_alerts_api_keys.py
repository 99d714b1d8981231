"""Outbox, alerts, parking and conflicts of leads, API keys, ledger checks, opening balances."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

OLD_KINDS = (
    "lead_charge", "top_up", "bonus", "grant", "goodwill", "adjustment",
    "usage", "lead_refund", "usage_refund", "expiry", "write_off",
)  # fmt: skip

OLD_LEAD_STATES = ("charged", "parked", "conflict", "refunded")
NEW_LEAD_STATES = (*OLD_LEAD_STATES, "cancelled")

TIME = sa.DateTime(timezone=True)


def _allow_kinds(kinds: tuple[str, ...]) -> None:
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    op.drop_constraint(op.f("ck_credit_transactions_kind"), "credit_transactions")
    op.execute(
        "ALTER TABLE credit_transactions ADD CONSTRAINT ck_credit_transactions_kind"
        f" CHECK (kind IN ({listed})) NOT VALID"
    )
    op.execute("ALTER TABLE credit_transactions VALIDATE CONSTRAINT ck_credit_transactions_kind")


def _lead_states(states: tuple[str, ...], uncharged: tuple[str, ...]) -> None:
    listed = ", ".join(f"'{state}'" for state in states)
    without = ", ".join(f"'{state}'" for state in uncharged)
    for name, check in (
        ("ck_lead_charges_state", f"state IN ({listed})"),
        ("ck_lead_charges_charged", f"(transaction_id IS NULL) = (state IN ({without}))"),
    ):
        op.drop_constraint(op.f(name), "lead_charges")
        # In the transaction of all migrations: the table stays locked while its rows are looked
        # at. NOT VALID spares nothing here; it would, were the validation one of its own.
        op.execute(f"ALTER TABLE lead_charges ADD CONSTRAINT {name} CHECK ({check}) NOT VALID")
        op.execute(f"ALTER TABLE lead_charges VALIDATE CONSTRAINT {name}")


def upgrade() -> None:
    op.create_table(
        "outbox_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("payload", sa.dialects.postgresql.JSONB(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_events")),
    )
    op.create_index(
        "ix_outbox_events_alerts",
        "outbox_events",
        ["id"],
        postgresql_where=sa.text("topic LIKE 'balance.%'"),
    )
    _accounts()
    _leads()
    _allow_kinds((*OLD_KINDS, "opening_balance"))
    op.execute(
        "INSERT INTO transaction_kinds (kind, house_account)"
        " VALUES ('opening_balance', 'opening_balances')"
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("product", sa.Text(), nullable=True),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("revoked_at", TIME, nullable=True),
        sa.CheckConstraint(
            "(product IS NULL) <> (account_id IS NULL)", name=op.f("ck_api_keys_reach")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_api_keys_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("name", name=op.f("uq_api_keys_name")),
        sa.UniqueConstraint("key_sha256", name=op.f("uq_api_keys_key_sha256")),
    )
    op.create_table(
        "ledger_checks",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("finished_at", TIME, nullable=True),
        sa.Column("accounts", sa.BigInteger(), nullable=True),
        sa.Column("transactions", sa.BigInteger(), nullable=True),
        sa.Column("breaches", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_checks")),
    )


def _accounts() -> None:
    # Processes of the version before neither reads nor writes these; the next post of this
    # version puts the level right.
    op.add_column(
        "accounts",
        sa.Column("alert_level", sa.Text(), server_default="exhausted", nullable=False),
    )
    op.add_column("accounts", sa.Column("low_balance", sa.BigInteger(), nullable=True))
    op.create_check_constraint(
        op.f("ck_accounts_alert_level"),
        "accounts",
        "alert_level IN ('ok', 'low', 'exhausted', 'in_debt')",
    )
    op.create_check_constraint(op.f("ck_accounts_low_balance"), "accounts", "low_balance >= 0")
    # 500 credits: the catalog's level at the time of this migration.
    op.execute(
        "UPDATE accounts SET alert_level = CASE WHEN balance < 0 THEN 'in_debt'"
        " WHEN balance = 0 THEN 'exhausted' WHEN balance <= 500 THEN 'low' ELSE 'ok' END"
        " WHERE balance <> 0"
    )


def _leads() -> None:
    op.execute("CREATE SEQUENCE lead_parking_seq")
    op.add_column("lead_charges", sa.Column("parked_number", sa.BigInteger(), nullable=True))
    op.execute(
        "UPDATE lead_charges l SET parked_number = n.number"
        "  FROM (SELECT lead_id, nextval('lead_parking_seq') AS number"
        "          FROM (SELECT lead_id FROM lead_charges WHERE state = 'parked'"
        "                 ORDER BY created_at, lead_id) AS parked) AS n"
        " WHERE n.lead_id = l.lead_id"
    )
    # For processes of the version before, which park without a number and still may for a while.
    op.alter_column(
        "lead_charges", "parked_number", server_default=sa.text("nextval('lead_parking_seq')")
    )
    op.drop_index("ix_lead_charges_parked", table_name="lead_charges")
    op.create_index(
        "ix_lead_charges_parked",
        "lead_charges",
        ["account_id", "parked_number"],
        postgresql_where=sa.text("state = 'parked'"),
    )
    _lead_states(NEW_LEAD_STATES, ("parked", "conflict", "cancelled"))
    op.create_table(
        "lead_conflicts",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("lead_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("package_price_paise", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_lead_conflicts_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lead_conflicts")),
    )
    op.create_index(op.f("ix_lead_conflicts_lead_id"), "lead_conflicts", ["lead_id"])


def downgrade() -> None:
    op.execute("DELETE FROM transaction_kinds WHERE kind = 'opening_balance'")
    _allow_kinds(OLD_KINDS)
    op.drop_table("ledger_checks")
    op.drop_table("api_keys")
    op.drop_table("lead_conflicts")
    op.execute("DELETE FROM lead_charges WHERE state = 'cancelled'")
    _lead_states(OLD_LEAD_STATES, ("parked", "conflict"))
    op.drop_index("ix_lead_charges_parked", table_name="lead_charges")
    op.drop_column("lead_charges", "parked_number")
    op.create_index(
        "ix_lead_charges_parked",
        "lead_charges",
        ["account_id", "created_at", "lead_id"],
        postgresql_where=sa.text("state = 'parked'"),
    )
    op.execute("DROP SEQUENCE lead_parking_seq")
    op.drop_column("accounts", "low_balance")
    op.drop_column("accounts", "alert_level")
    op.drop_table("outbox_events")

"""Plans and the years that were paid of them; reminders that a newer one has superseded."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


LOT_KEYS = {"account_id": "accounts", "transaction_id": "credit_transactions"}


def upgrade() -> None:
    op.create_table(
        "account_plans",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("plan_type", sa.Text(), nullable=False),
        sa.Column("purchased_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("anchor_on", sa.Date(), nullable=False),
        sa.Column("years", sa.BigInteger(), nullable=False),
        sa.Column("service_renewal_next_due", sa.DateTime(timezone=True), nullable=False),
        sa.Column("grace_ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("service_renewal_status", sa.Text(), nullable=False),
        sa.Column("stepped_to", sa.BigInteger(), nullable=True),
        sa.Column("next_step_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("branches", sa.BigInteger(), nullable=False),
        sa.Column("features", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("monthly_credits", sa.BigInteger(), nullable=False),
        sa.Column("next_grant_month", sa.Date(), nullable=False),
        sa.Column("next_grant_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "service_renewal_status IN ('active', 'due_soon', 'past_due', 'degraded')",
            name=op.f("ck_account_plans_status"),
        ),
        sa.CheckConstraint("branches >= 0", name=op.f("ck_account_plans_branches")),
        sa.CheckConstraint(
            "extract(day FROM next_grant_month) = 1",
            name=op.f("ck_account_plans_next_grant_month"),
        ),
        sa.CheckConstraint("monthly_credits >= 0", name=op.f("ck_account_plans_monthly_credits")),
        sa.CheckConstraint("years > 0", name=op.f("ck_account_plans_years")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_account_plans_account_id")
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_account_plans")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "ix_account_plans_grants", "account_plans", ["next_grant_at", "account_id"], unique=False
    )
    op.create_index(
        "ix_account_plans_steps",
        "account_plans",
        ["next_step_at", "account_id"],
        unique=False,
        postgresql_where=sa.text("next_step_at IS NOT NULL"),
    )
    op.create_table(
        "plan_terms",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("request_key", sa.Text(), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('purchase', 'renewal')", name=op.f("ck_plan_terms_kind")),
        sa.CheckConstraint("ends_on > starts_on", name=op.f("ck_plan_terms_days")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_plan_terms_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan_terms")),
        sa.UniqueConstraint("account_id", "number", name=op.f("uq_plan_terms_account_id_number")),
        sa.UniqueConstraint("request_key", name=op.f("uq_plan_terms_request_key")),
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON plan_terms"
        " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON plan_terms"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute("ALTER TABLE plan_terms ENABLE ALWAYS TRIGGER append_only")
    op.execute("ALTER TABLE plan_terms ENABLE ALWAYS TRIGGER append_only_truncate")
    # A plan order that is paid and not applied: by a version of before, or whose process died.
    op.add_column(
        "billing_orders", sa.Column("plan_applied_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_index(
        "ix_billing_orders_plans",
        "billing_orders",
        ["id"],
        unique=False,
        postgresql_where=sa.text("plan IS NOT NULL AND state = 'paid' AND plan_applied_at IS NULL"),
    )
    # A fifth of what a grant costs; `ledger verify` looks for what they would refuse.
    for column in LOT_KEYS:
        op.drop_constraint(f"fk_credit_lots_{column}", "credit_lots", type_="foreignkey")
    op.add_column(
        "outbox_events", sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True)
    )


def downgrade() -> None:
    op.drop_column("outbox_events", "superseded_at")
    for column, table in LOT_KEYS.items():
        op.create_foreign_key(f"fk_credit_lots_{column}", "credit_lots", table, [column], ["id"])
    op.drop_index("ix_billing_orders_plans", table_name="billing_orders")
    op.drop_column("billing_orders", "plan_applied_at")
    op.drop_table("plan_terms")
    op.drop_table("account_plans")

"""Why credit could not be settled, why a plan was put off; a smaller index of accounts.

The index of accounts leaves out a lead's row that is done: it is found by the leads of the account,
and a batch of leads is spared an entry a row. An older version goes on: it does not write the
new columns.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("billing_refunds", "billing_chargebacks"):
        op.add_column(table, sa.Column("settlement_error", sa.Text(), nullable=True))
        op.add_column(
            table, sa.Column("settlement_failed_at", sa.DateTime(timezone=True), nullable=True)
        )
    for column in ("grant_problem", "step_problem"):
        op.add_column("account_plans", sa.Column(column, sa.Text(), nullable=True))
    op.create_index(
        "ix_account_plans_put_off",
        "account_plans",
        ["account_id"],
        postgresql_where=sa.text("grant_problem IS NOT NULL OR step_problem IS NOT NULL"),
    )
    _index_accounts("account_ref IS NOT NULL AND (state <> 'done' OR lead_id IS NULL)")


def downgrade() -> None:
    _index_accounts("account_ref IS NOT NULL")
    op.drop_index("ix_account_plans_put_off", "account_plans")
    for column in ("grant_problem", "step_problem"):
        op.drop_column("account_plans", column)
    for table in ("billing_refunds", "billing_chargebacks"):
        op.drop_column(table, "settlement_error")
        op.drop_column(table, "settlement_failed_at")


def _index_accounts(condition: str) -> None:
    op.drop_index("ix_inbound_events_account_ref", "inbound_events")
    op.create_index(
        "ix_inbound_events_account_ref",
        "inbound_events",
        ["account_ref", "id"],
        postgresql_where=sa.text(condition),
    )

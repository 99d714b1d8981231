"""Which lead and account a delivery is about; payments and accounts that need a person.

A running older version goes on: it leaves the new columns empty.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NEEDS_A_PERSON = (
    "state IN ('quarantined', 'unmatched') OR (state = 'authorized' AND order_id IS NULL)"
)


def upgrade() -> None:
    for column in ("lead_id", "account_ref"):
        op.add_column("inbound_events", sa.Column(column, sa.Text(), nullable=True))
        op.create_index(
            f"ix_inbound_events_{column}",
            "inbound_events",
            [column, "id"],
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )
    op.create_index(
        "ix_billing_payments_attention",
        "billing_payments",
        ["id"],
        postgresql_where=sa.text(NEEDS_A_PERSON),
    )
    op.create_index(
        "ix_accounts_reviewed",
        "accounts",
        ["ref"],
        postgresql_where=sa.text("review_reason IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_accounts_reviewed", "accounts")
    op.drop_index("ix_billing_payments_attention", "billing_payments")
    for column in ("lead_id", "account_ref"):
        op.drop_index(f"ix_inbound_events_{column}", "inbound_events")
        op.drop_column("inbound_events", column)

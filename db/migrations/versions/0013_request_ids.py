"""Each row names the request that wrote it; the leads of an account in their order.

A column without a default and without a constraint: PostgreSQL notes it in its catalog and reads no
row, however many there are. An older version goes on: it does not write it.

Two of the tables have an index of it: where a request comes in. It says when the request came, and
so where in the others its rows are. A posting is spared the entries, which would cost a batch of
leads a fifth more of the write-ahead log.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_TABLES = (
    "account_plans", "accounts", "api_requests", "billing_audit_log", "billing_chargebacks",
    "billing_orders", "billing_payments", "billing_refunds", "credit_transactions", "hold_events",
    "holds", "inbound_events", "lead_charges", "lead_conflicts", "lead_disputes", "outbox_events",
    "plan_terms",
)  # fmt: skip
_INDEXED = ("api_requests", "inbound_events")
_OF_ACCOUNT = ["account_id", "created_at", "lead_id"]


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("request_id", sa.Text(), nullable=True))
    for table in _INDEXED:
        op.create_index(
            f"ix_{table}_request_id",
            table,
            ["request_id"],
            postgresql_where=sa.text("request_id IS NOT NULL"),
        )
    op.create_index("ix_lead_charges_account", "lead_charges", _OF_ACCOUNT)
    op.create_index(
        "ix_lead_charges_uncommon",
        "lead_charges",
        _OF_ACCOUNT,
        postgresql_where=sa.text("state <> 'charged'"),
    )


def downgrade() -> None:
    op.drop_index("ix_lead_charges_uncommon", "lead_charges")
    op.drop_index("ix_lead_charges_account", "lead_charges")
    for table in _INDEXED:
        op.drop_index(f"ix_{table}_request_id", table)
    for table in _TABLES:
        op.drop_column(table, "request_id")

"""Each row names the request that wrote it.

A column without a default and without a constraint: PostgreSQL notes it in its catalog and reads no
row, however many there are. An older version goes on: it does not write it.
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


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("request_id", sa.Text(), nullable=True))


def downgrade() -> None:
    for table in _TABLES:
        op.drop_column(table, "request_id")

"""A gateway that was listed and never heard of has no time of its last event."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Until now 2000-01-01 stood for "never heard of". An older process may still write it: the row is
# then like any other that is old. To such a process NULL is neither old nor new: it records an
# event as before, and reports no silence of the gateway.


def upgrade() -> None:
    op.alter_column(
        "gateway_signs",
        "last_event_at",
        existing_type=sa.DateTime(timezone=True),
        nullable=True,
    )
    op.execute(
        "UPDATE gateway_signs SET last_event_at = NULL"
        " WHERE last_event_at = '2000-01-01 00:00:00+00'"
    )


def downgrade() -> None:
    op.execute(
        "UPDATE gateway_signs SET last_event_at = '2000-01-01 00:00:00+00'"
        " WHERE last_event_at IS NULL"
    )
    op.alter_column(
        "gateway_signs",
        "last_event_at",
        existing_type=sa.DateTime(timezone=True),
        nullable=False,
    )

"""Times that the ledger can hold, append-only lead conflicts, an index of what expires."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# The years 1970 to 9000, as postings are checked, and a day beside them: an offset may put a
# time of 1970 into the year before, in UTC. Python reads none beyond the year 9999.
FIRST, END = "1969-12-31 00:00:00+00", "9001-01-02 00:00:00+00"


def upgrade() -> None:
    for column in ("event_at", "created_at"):
        name = f"ck_credit_transactions_{column}"
        check = f"{column} >= '{FIRST}' AND {column} < '{END}'"
        # In the transaction of all migrations: no row is written while the rows are looked at,
        # once for each column. A row that breaks it stops the migration: `billing ledger verify`
        # names it.
        op.execute(
            f"ALTER TABLE credit_transactions ADD CONSTRAINT {name} CHECK ({check}) NOT VALID"
        )
        op.execute(f"ALTER TABLE credit_transactions VALIDATE CONSTRAINT {name}")
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON lead_conflicts"
        " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON lead_conflicts"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute("ALTER TABLE lead_conflicts ENABLE ALWAYS TRIGGER append_only")
    op.execute("ALTER TABLE lead_conflicts ENABLE ALWAYS TRIGGER append_only_truncate")
    op.create_index(
        "ix_credit_lots_expiring",
        "credit_lots",
        ["expires_at"],
        postgresql_where=sa.text("exhausted_at IS NULL AND expires_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_credit_lots_expiring", table_name="credit_lots")
    op.execute("DROP TRIGGER append_only_truncate ON lead_conflicts")
    op.execute("DROP TRIGGER append_only ON lead_conflicts")
    for column in ("created_at", "event_at"):
        op.drop_constraint(op.f(f"ck_credit_transactions_{column}"), "credit_transactions")

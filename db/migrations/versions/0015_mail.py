"""Mail: contacts of accounts and operators, and the mails that are due to them.

A change that somebody makes on a page is recorded as one of the door `web`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_DOOR = "ck_billing_audit_log_door"


def upgrade() -> None:
    op.create_table(
        "notice_contacts",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("topics", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("unsubscribed", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "removed_at IS NULL OR address IS NULL", name=op.f("ck_notice_contacts_removed")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_notice_contacts_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_contacts")),
    )
    op.create_index(
        "uq_notice_contacts_address",
        "notice_contacts",
        [sa.text("coalesce(account_id, 0)"), sa.text("lower(address)")],
        unique=True,
        postgresql_where=sa.text("address IS NOT NULL"),
    )
    op.create_index("ix_notice_contacts_account", "notice_contacts", ["account_id", "id"])
    op.create_table(
        "notice_mails",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("contact_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("notice_id", sa.BigInteger(), nullable=True),
        sa.Column("once_for", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_id", sa.Uuid(), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'done', 'dead', 'skipped')", name=op.f("ck_notice_mails_state")
        ),
        sa.CheckConstraint(
            "(state = 'pending') = (next_attempt_at IS NOT NULL)", name=op.f("ck_notice_mails_due")
        ),
        sa.CheckConstraint(
            "(state = 'pending') = (finished_at IS NULL)", name=op.f("ck_notice_mails_finished")
        ),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["notice_contacts.id"], name=op.f("fk_notice_mails_contact_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_mails")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "uq_notice_mails_once",
        "notice_mails",
        ["contact_id", "kind", "once_for"],
        unique=True,
        postgresql_where=sa.text("state <> 'skipped'"),
    )
    op.create_index(
        "ix_notice_mails_due",
        "notice_mails",
        ["next_attempt_at", "id"],
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_notice_mails_dead",
        "notice_mails",
        ["finished_at"],
        postgresql_where=sa.text("state = 'dead'"),
    )
    op.create_index(
        "ix_notice_mails_asked",
        "notice_mails",
        ["once_for"],
        postgresql_where=sa.text("kind = 'confirm_address'"),
    )
    _allow_doors("'cli', 'api', 'webhook', 'celery', 'beat', 'web'")
    op.execute(f"ALTER TABLE billing_audit_log VALIDATE CONSTRAINT {_DOOR}")


def downgrade() -> None:
    # Entries of the door `web` stay, for the log is append-only: so it is not validated.
    _allow_doors("'cli', 'api', 'webhook', 'celery', 'beat'")
    op.drop_table("notice_mails")
    op.drop_table("notice_contacts")


def _allow_doors(doors: str) -> None:
    op.execute(f"ALTER TABLE billing_audit_log DROP CONSTRAINT {_DOOR}")
    op.execute(
        f"ALTER TABLE billing_audit_log ADD CONSTRAINT {_DOOR} CHECK (door IN ({doors})) NOT VALID"
    )

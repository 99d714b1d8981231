"""Refunds, lead disputes, quality scores, chargebacks, and the kinds of what they take back."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

OLD_KINDS = (
    "lead_charge", "top_up", "bonus", "grant", "goodwill", "adjustment", "usage", "lead_refund",
    "usage_refund", "expiry", "write_off", "opening_balance",
)  # fmt: skip
NEW_KINDS = {
    "clawback": "funding:payments",
    "clawback_return": "funding:payments",
    "bonus_clawback": "promotions:bonus",
    "bonus_clawback_return": "promotions:bonus",
}


# As in 0005, and back from refunded where a refund fails after it was called processed.
REFUNDS_CAN_FAIL = """
CREATE OR REPLACE FUNCTION refuse_illegal_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (
        ('created', 'authorized'), ('created', 'captured'), ('created', 'failed'),
        ('created', 'refunded'), ('created', 'partially_refunded'), ('created', 'quarantined'),
        ('created', 'unmatched'),
        ('authorized', 'captured'), ('authorized', 'failed'), ('authorized', 'refunded'),
        ('authorized', 'partially_refunded'), ('authorized', 'quarantined'),
        ('authorized', 'unmatched'),
        ('failed', 'authorized'), ('failed', 'captured'), ('failed', 'refunded'),
        ('failed', 'partially_refunded'), ('failed', 'quarantined'), ('failed', 'unmatched'),
        ('unmatched', 'captured'), ('unmatched', 'partially_refunded'),
        ('unmatched', 'refunded'), ('unmatched', 'quarantined'),
        ('quarantined', 'captured'), ('quarantined', 'partially_refunded'),
        ('quarantined', 'refunded'),
        ('captured', 'partially_refunded'), ('captured', 'refunded'),
        ('partially_refunded', 'refunded'),
        ('partially_refunded', 'captured'), ('refunded', 'partially_refunded'),
        ('refunded', 'captured'), ('refunded', 'quarantined')
    ) THEN
        RAISE EXCEPTION 'payment %: % cannot become %',
            OLD.gateway_payment_id, OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.credited_at IS NOT NULL AND
       (NEW.credited_at, NEW.account_id, NEW.amount_paise, NEW.currency, NEW.credits,
        NEW.bonus_credits)
       IS DISTINCT FROM
       (OLD.credited_at, OLD.account_id, OLD.amount_paise, OLD.currency, OLD.credits,
        OLD.bonus_credits)
    THEN
        RAISE EXCEPTION 'payment % was credited: that does not change any more',
            OLD.gateway_payment_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""
REFUNDS_ARE_FINAL = """
CREATE OR REPLACE FUNCTION refuse_illegal_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (
        ('created', 'authorized'), ('created', 'captured'), ('created', 'failed'),
        ('created', 'refunded'), ('created', 'partially_refunded'), ('created', 'quarantined'),
        ('created', 'unmatched'),
        ('authorized', 'captured'), ('authorized', 'failed'), ('authorized', 'refunded'),
        ('authorized', 'partially_refunded'), ('authorized', 'quarantined'),
        ('authorized', 'unmatched'),
        ('failed', 'authorized'), ('failed', 'captured'), ('failed', 'refunded'),
        ('failed', 'partially_refunded'), ('failed', 'quarantined'), ('failed', 'unmatched'),
        ('unmatched', 'captured'), ('unmatched', 'partially_refunded'),
        ('unmatched', 'refunded'), ('unmatched', 'quarantined'),
        ('quarantined', 'captured'), ('quarantined', 'partially_refunded'),
        ('quarantined', 'refunded'),
        ('captured', 'partially_refunded'), ('captured', 'refunded'),
        ('partially_refunded', 'refunded')
    ) THEN
        RAISE EXCEPTION 'payment %: % cannot become %',
            OLD.gateway_payment_id, OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.credited_at IS NOT NULL AND
       (NEW.credited_at, NEW.account_id, NEW.amount_paise, NEW.currency, NEW.credits,
        NEW.bonus_credits)
       IS DISTINCT FROM
       (OLD.credited_at, OLD.account_id, OLD.amount_paise, OLD.currency, OLD.credits,
        OLD.bonus_credits)
    THEN
        RAISE EXCEPTION 'payment % was credited: that does not change any more',
            OLD.gateway_payment_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""


def _allow_kinds(kinds: tuple[str, ...]) -> None:
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    op.drop_constraint(op.f("ck_credit_transactions_kind"), "credit_transactions")
    op.execute(
        "ALTER TABLE credit_transactions ADD CONSTRAINT ck_credit_transactions_kind"
        f" CHECK (kind IN ({listed})) NOT VALID"
    )
    op.execute("ALTER TABLE credit_transactions VALIDATE CONSTRAINT ck_credit_transactions_kind")


def upgrade() -> None:
    _allow_kinds((*OLD_KINDS, *NEW_KINDS))
    op.execute(REFUNDS_CAN_FAIL)
    for kind, house_account in NEW_KINDS.items():
        op.execute(
            sa.text(
                "INSERT INTO transaction_kinds (kind, house_account) VALUES (:kind, :house)"
            ).bindparams(kind=kind, house=house_account)
        )
    op.create_table(
        "quality_scores",
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("leads", sa.BigInteger(), nullable=False),
        sa.Column("disputes", sa.BigInteger(), nullable=False),
        sa.Column("grade", sa.Text(), nullable=True),
        sa.Column("needs_review", sa.Boolean(), nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "grade IS NULL OR grade IN ('good', 'average', 'poor')",
            name=op.f("ck_quality_scores_grade"),
        ),
        sa.CheckConstraint(
            "subject_kind IN ('account', 'source')", name=op.f("ck_quality_scores_subject_kind")
        ),
        sa.PrimaryKeyConstraint("subject_kind", "subject", name=op.f("pk_quality_scores")),
    )
    op.create_table(
        "lead_disputes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("lead_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("evidence", postgresql.JSONB(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("request_key", sa.Text(), nullable=False),
        sa.Column("opened_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_by", sa.Text(), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("credits_refunded", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "(state = 'pending') = (resolved_at IS NULL)", name=op.f("ck_lead_disputes_resolved")
        ),
        sa.CheckConstraint(
            "(state IN ('approved', 'partially_approved')) = (credits_refunded > 0)",
            name=op.f("ck_lead_disputes_refunded"),
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'approved', 'partially_approved', 'rejected', 'withdrawn')",
            name=op.f("ck_lead_disputes_state"),
        ),
        sa.CheckConstraint("credits_refunded >= 0", name=op.f("ck_lead_disputes_credits_refunded")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_lead_disputes_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["lead_id"], ["lead_charges.lead_id"], name=op.f("fk_lead_disputes_lead_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lead_disputes")),
        sa.UniqueConstraint("request_key", name=op.f("uq_lead_disputes_request_key")),
    )
    op.create_index(
        op.f("ix_lead_disputes_account_id_created_at"),
        "lead_disputes",
        ["account_id", "created_at"],
        unique=False,
    )
    op.create_index(op.f("ix_lead_disputes_lead_id"), "lead_disputes", ["lead_id"], unique=False)
    op.create_index(
        "uq_lead_disputes_open",
        "lead_disputes",
        ["lead_id"],
        unique=True,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_table(
        "billing_chargebacks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=False),
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("gateway_dispute_id", sa.Text(), nullable=False),
        sa.Column("amount_paise", sa.BigInteger(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=True),
        sa.Column("reason_code", sa.Text(), nullable=True),
        sa.Column("moves_money", sa.Boolean(), nullable=False),
        sa.Column("respond_by", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("position", sa.Text(), server_default=sa.text("'none'"), nullable=False),
        sa.Column("credits", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("bonus_credits", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("debt", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("hold_id", sa.BigInteger(), nullable=True),
        sa.Column("takes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "position IN ('none', 'reserved', 'taken')",
            name=op.f("ck_billing_chargebacks_position"),
        ),
        sa.CheckConstraint(
            "state IN ('open', 'under_review', 'action_required', 'won', 'lost', 'closed')",
            name=op.f("ck_billing_chargebacks_state"),
        ),
        sa.CheckConstraint("amount_paise >= 0", name=op.f("ck_billing_chargebacks_amount_paise")),
        sa.CheckConstraint(
            "credits >= 0 AND bonus_credits >= 0 AND debt >= 0",
            name=op.f("ck_billing_chargebacks_credits"),
        ),
        sa.ForeignKeyConstraint(
            ["hold_id"], ["holds.id"], name=op.f("fk_billing_chargebacks_hold_id")
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["billing_payments.id"], name=op.f("fk_billing_chargebacks_payment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_chargebacks")),
        sa.UniqueConstraint(
            "gateway",
            "gateway_dispute_id",
            name=op.f("uq_billing_chargebacks_gateway_gateway_dispute_id"),
        ),
    )
    op.create_index(
        "ix_billing_chargebacks_open",
        "billing_chargebacks",
        ["respond_by"],
        unique=False,
        postgresql_where=sa.text("state IN ('open', 'under_review', 'action_required')"),
    )
    op.create_index(
        op.f("ix_billing_chargebacks_payment_id"),
        "billing_chargebacks",
        ["payment_id"],
        unique=False,
    )
    op.create_index(
        "ix_billing_chargebacks_unsettled",
        "billing_chargebacks",
        ["id"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.create_table(
        "billing_refunds",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=False),
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("gateway_refund_id", sa.Text(), nullable=True),
        sa.Column("request_key", sa.Text(), nullable=True),
        sa.Column("receipt", sa.Text(), nullable=True),
        sa.Column("amount_paise", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_ask_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("asks", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("position", sa.Text(), server_default=sa.text("'none'"), nullable=False),
        sa.Column("credits", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("bonus_credits", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("debt", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("hold_id", sa.BigInteger(), nullable=True),
        sa.Column("takes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "position IN ('none', 'reserved', 'taken')", name=op.f("ck_billing_refunds_position")
        ),
        sa.CheckConstraint(
            "state IN ('requested', 'submitted', 'unknown', 'processed', 'failed')",
            name=op.f("ck_billing_refunds_state"),
        ),
        sa.CheckConstraint("amount_paise > 0", name=op.f("ck_billing_refunds_amount_paise")),
        sa.CheckConstraint(
            "credits >= 0 AND bonus_credits >= 0 AND debt >= 0",
            name=op.f("ck_billing_refunds_credits"),
        ),
        sa.ForeignKeyConstraint(["hold_id"], ["holds.id"], name=op.f("fk_billing_refunds_hold_id")),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["billing_payments.id"], name=op.f("fk_billing_refunds_payment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_refunds")),
        sa.UniqueConstraint(
            "gateway",
            "gateway_refund_id",
            name=op.f("uq_billing_refunds_gateway_gateway_refund_id"),
        ),
        sa.UniqueConstraint("receipt", name=op.f("uq_billing_refunds_receipt")),
        sa.UniqueConstraint("request_key", name=op.f("uq_billing_refunds_request_key")),
    )
    op.create_index(
        "ix_billing_refunds_due",
        "billing_refunds",
        ["next_ask_at"],
        unique=False,
        postgresql_where=sa.text("next_ask_at IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_billing_refunds_payment_id"), "billing_refunds", ["payment_id"], unique=False
    )
    op.create_index(
        "ix_billing_refunds_unsettled",
        "billing_refunds",
        ["id"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.add_column("accounts", sa.Column("review_reason", sa.Text(), nullable=True))
    op.add_column(
        "gateway_signs",
        sa.Column("disputes_asked_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.add_column(
        "billing_payments",
        sa.Column(
            "refunds_asked_paise", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
    )


def downgrade() -> None:
    op.drop_column("gateway_signs", "disputes_asked_at")
    op.drop_column("billing_payments", "refunds_asked_paise")
    op.drop_column("accounts", "review_reason")
    op.drop_table("billing_chargebacks")
    op.drop_table("billing_refunds")
    op.drop_table("quality_scores")
    op.drop_table("lead_disputes")
    for kind in NEW_KINDS:
        op.execute(f"DELETE FROM transaction_kinds WHERE kind = '{kind}'")  # noqa: S608 - ours
    _allow_kinds(OLD_KINDS)
    op.execute(REFUNDS_ARE_FINAL)

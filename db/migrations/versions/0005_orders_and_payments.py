"""Orders, payments, answers of the API under their idempotency keys; tax fields of accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# What money may do, whichever process or person writes: the rules of billing/payments.py once more,
# held by the database. A payment that was credited stays credited, to the same account and amount.
LEGAL_PAYMENT = """
CREATE FUNCTION refuse_illegal_payment() RETURNS trigger LANGUAGE plpgsql AS $$
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
LEGAL_ORDER = """
CREATE FUNCTION refuse_illegal_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'paid' AND
       (NEW.state, NEW.payment_id) IS DISTINCT FROM (OLD.state, OLD.payment_id)
    THEN
        RAISE EXCEPTION 'order % is paid: that does not change any more', OLD.receipt
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    op.create_table(
        "api_requests",
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.BigInteger(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status IS NULL) = (answer IS NULL)", name=op.f("ck_api_requests_answer")
        ),
        sa.PrimaryKeyConstraint("caller", "idempotency_key", name=op.f("pk_api_requests")),
    )
    op.create_index(
        op.f("ix_api_requests_created_at"), "api_requests", ["created_at"], unique=False
    )
    op.create_table(
        "gateway_signs",
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("last_event_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("silent_since", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("gateway", name=op.f("pk_gateway_signs")),
    )
    op.create_table(
        "billing_orders",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.Column("gateway_order_id", sa.Text(), nullable=True),
        sa.Column("package", sa.Text(), nullable=True),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("amount_paise", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("bonus_credits", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=True),
        sa.Column("return_url", sa.Text(), nullable=True),
        sa.Column("checkout_url", sa.Text(), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_ask_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("asks", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(state = 'paid') = (payment_id IS NOT NULL)", name=op.f("ck_billing_orders_paid")
        ),
        sa.CheckConstraint(
            "state <> 'open' OR gateway_order_id IS NOT NULL", name=op.f("ck_billing_orders_open")
        ),
        sa.CheckConstraint(
            "state IN ('requested', 'unknown', 'open', 'paid', 'refused', 'expired')",
            name=op.f("ck_billing_orders_state"),
        ),
        sa.CheckConstraint("(plan IS NULL) = (credits > 0)", name=op.f("ck_billing_orders_plan")),
        sa.CheckConstraint("amount_paise > 0", name=op.f("ck_billing_orders_amount_paise")),
        sa.CheckConstraint(
            "credits >= 0 AND bonus_credits >= 0", name=op.f("ck_billing_orders_credits")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_billing_orders_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_orders")),
        sa.UniqueConstraint(
            "gateway", "gateway_order_id", name=op.f("uq_billing_orders_gateway_gateway_order_id")
        ),
        sa.UniqueConstraint("receipt", name=op.f("uq_billing_orders_receipt")),
    )
    op.create_index(
        op.f("ix_billing_orders_account_id_id"),
        "billing_orders",
        ["account_id", "id"],
        unique=False,
    )
    op.create_index(
        "ix_billing_orders_due",
        "billing_orders",
        ["next_ask_at"],
        unique=False,
        postgresql_where=sa.text("next_ask_at IS NOT NULL"),
    )
    op.create_table(
        "billing_payments",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("gateway_payment_id", sa.Text(), nullable=False),
        sa.Column("gateway_order_id", sa.Text(), nullable=True),
        sa.Column("receipt", sa.Text(), nullable=True),
        sa.Column("order_id", sa.BigInteger(), nullable=True),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("amount_paise", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("refunded_paise", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("method", sa.Text(), nullable=True),
        sa.Column("fee_paise", sa.BigInteger(), nullable=True),
        sa.Column("tax_paise", sa.BigInteger(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_reason", sa.Text(), nullable=True),
        sa.Column("credits", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("bonus_credits", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("transaction_id", sa.BigInteger(), nullable=True),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("credited_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(reason IS NULL) = (state NOT IN ('quarantined', 'unmatched'))",
            name=op.f("ck_billing_payments_reason"),
        ),
        sa.CheckConstraint(
            "state IN ('created', 'authorized', 'captured', 'failed', 'refunded',"
            " 'partially_refunded', 'quarantined', 'unmatched')",
            name=op.f("ck_billing_payments_state"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('captured', 'partially_refunded') OR credited_at IS NOT NULL",
            name=op.f("ck_billing_payments_captured"),
        ),
        sa.CheckConstraint("amount_paise >= 0", name=op.f("ck_billing_payments_amount_paise")),
        sa.CheckConstraint(
            "credited_at IS NULL OR account_id IS NOT NULL",
            name=op.f("ck_billing_payments_credited"),
        ),
        sa.CheckConstraint(
            "credits >= 0 AND bonus_credits >= 0", name=op.f("ck_billing_payments_credits")
        ),
        sa.CheckConstraint("refunded_paise >= 0", name=op.f("ck_billing_payments_refunded_paise")),
        sa.CheckConstraint(
            "transaction_id IS NULL OR credits > 0", name=op.f("ck_billing_payments_transaction")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_billing_payments_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["billing_orders.id"], name=op.f("fk_billing_payments_order_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_payments")),
        sa.UniqueConstraint(
            "gateway",
            "gateway_payment_id",
            name=op.f("uq_billing_payments_gateway_gateway_payment_id"),
        ),
    )
    op.create_index(
        op.f("ix_billing_payments_account_id_id"),
        "billing_payments",
        ["account_id", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_billing_payments_gateway_gateway_order_id"),
        "billing_payments",
        ["gateway", "gateway_order_id"],
        unique=False,
    )
    op.create_index(
        "ix_billing_payments_odd",
        "billing_payments",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state IN ('quarantined', 'unmatched')"),
    )
    op.create_index(
        op.f("ix_billing_payments_order_id"), "billing_payments", ["order_id"], unique=False
    )
    op.add_column("accounts", sa.Column("state_code", sa.Text(), nullable=True))
    op.add_column("accounts", sa.Column("gstin", sa.Text(), nullable=True))
    _alerts("topic LIKE 'balance.%' OR topic LIKE 'gateway.%'")
    op.execute(LEGAL_PAYMENT)
    op.execute(
        "CREATE TRIGGER legal_change BEFORE UPDATE ON billing_payments"
        " FOR EACH ROW EXECUTE FUNCTION refuse_illegal_payment()"
    )
    op.execute(LEGAL_ORDER)
    op.execute(
        "CREATE TRIGGER legal_change BEFORE UPDATE ON billing_orders"
        " FOR EACH ROW EXECUTE FUNCTION refuse_illegal_order()"
    )


def _alerts(topics: str) -> None:
    op.drop_index("ix_outbox_events_alerts", table_name="outbox_events")
    op.create_index(
        "ix_outbox_events_alerts", "outbox_events", ["id"], postgresql_where=sa.text(topics)
    )


def downgrade() -> None:
    _alerts("topic LIKE 'balance.%'")
    op.drop_column("accounts", "gstin")
    op.drop_column("accounts", "state_code")
    op.drop_table("api_requests")
    op.drop_table("gateway_signs")
    op.drop_table("billing_payments")
    op.drop_table("billing_orders")
    op.execute("DROP FUNCTION refuse_illegal_payment()")
    op.execute("DROP FUNCTION refuse_illegal_order()")

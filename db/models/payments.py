"""Orders and payments at the gateways."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, OfRequest


class Order(OfRequest, Base):
    """What an account wants to buy at a gateway; see `billing/payments/orders.py`."""

    __tablename__ = "billing_orders"
    __table_args__ = (
        UniqueConstraint("receipt"),
        UniqueConstraint("gateway", "gateway_order_id"),
        CheckConstraint("amount_paise > 0", name="amount_paise"),
        CheckConstraint("credits >= 0 AND bonus_credits >= 0", name="credits"),
        CheckConstraint("(plan IS NULL) = (credits > 0)", name="plan"),
        CheckConstraint(
            "state IN ('requested', 'unknown', 'open', 'paid', 'refused', 'expired')", name="state"
        ),
        CheckConstraint("(state = 'paid') = (payment_id IS NOT NULL)", name="paid"),
        CheckConstraint("state <> 'open' OR gateway_order_id IS NOT NULL", name="open"),
        Index(None, "account_id", "id"),
        Index(
            "ix_billing_orders_due", "next_ask_at", postgresql_where=text("next_ask_at IS NOT NULL")
        ),
        Index(
            "ix_billing_orders_plans",
            "id",
            postgresql_where=text(
                "plan IS NOT NULL AND state = 'paid' AND plan_applied_at IS NULL"
            ),
        ),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    gateway: Mapped[str]
    receipt: Mapped[str]
    """Ours, made before the gateway is asked; it finds the order again after a lost answer."""
    gateway_order_id: Mapped[str | None]
    package: Mapped[str | None]
    plan: Mapped[str | None]
    """The name in the catalog's `plans`; None: the order is for credit."""
    amount_paise: Mapped[int]
    currency: Mapped[str]
    credits: Mapped[int]
    """Credits that it brings when it is paid, by the price at the time of the order."""
    bonus_credits: Mapped[int]
    state: Mapped[str]
    payment_id: Mapped[int | None]
    """The one payment that paid it (`billing_payments.id`)."""
    plan_applied_at: Mapped[datetime | None]
    """When its year was added to the account's plan, or refused for good."""
    return_url: Mapped[str | None]
    checkout_url: Mapped[str | None]
    requested_by: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    next_ask_at: Mapped[datetime | None]
    """When the gateway is asked about it next; None: never again."""
    asks: Mapped[int] = mapped_column(server_default=text("0"))
    last_error: Mapped[str | None]


class Payment(OfRequest, Base):
    """A payment at a gateway, and what became of it; see `billing/payments/intake.py`."""

    __tablename__ = "billing_payments"
    __table_args__ = (
        UniqueConstraint("gateway", "gateway_payment_id"),
        CheckConstraint(
            "state IN ('created', 'authorized', 'captured', 'failed', 'refunded',"
            " 'partially_refunded', 'quarantined', 'unmatched')",
            name="state",
        ),
        CheckConstraint("amount_paise >= 0", name="amount_paise"),
        CheckConstraint("refunded_paise >= 0", name="refunded_paise"),
        CheckConstraint("credits >= 0 AND bonus_credits >= 0", name="credits"),
        CheckConstraint("transaction_id IS NULL OR credits > 0", name="transaction"),
        CheckConstraint(
            "state NOT IN ('captured', 'partially_refunded') OR credited_at IS NOT NULL",
            name="captured",
        ),
        CheckConstraint("credited_at IS NULL OR account_id IS NOT NULL", name="credited"),
        CheckConstraint(
            "(reason IS NULL) = (state NOT IN ('quarantined', 'unmatched'))", name="reason"
        ),
        Index(None, "account_id", "id"),
        Index(None, "order_id"),
        Index(None, "gateway", "gateway_order_id"),
        Index("ix_billing_payments_odd", "id",
              postgresql_where=text("state IN ('quarantined', 'unmatched')")),
        Index("ix_billing_payments_attention", "id",
              postgresql_where=text(
                  "state IN ('quarantined', 'unmatched')"
                  " OR (state = 'authorized' AND order_id IS NULL)"
              )),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    gateway: Mapped[str]
    gateway_payment_id: Mapped[str]
    gateway_order_id: Mapped[str | None]
    receipt: Mapped[str | None]
    order_id: Mapped[int | None] = mapped_column(ForeignKey("billing_orders.id"))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))
    state: Mapped[str]
    reason: Mapped[str | None]
    """Why it is quarantined or unmatched."""
    amount_paise: Mapped[int]
    currency: Mapped[str]
    refunded_paise: Mapped[int] = mapped_column(server_default=text("0"))
    refunds_asked_paise: Mapped[int] = mapped_column(server_default=text("0"))
    """The `refunded_paise` whose refunds the gateway was last asked to list."""
    method: Mapped[str | None]
    fee_paise: Mapped[int | None]
    tax_paise: Mapped[int | None]
    error_code: Mapped[str | None]
    error_reason: Mapped[str | None]
    credits: Mapped[int] = mapped_column(server_default=text("0"))
    """Credits that it brought its account, without the bonus."""
    bonus_credits: Mapped[int] = mapped_column(server_default=text("0"))
    transaction_id: Mapped[int | None]
    """The ledger row of the paid credit; without a foreign key for the reason at `LotMovement`."""
    happened_at: Mapped[datetime | None]
    credited_at: Mapped[datetime | None]
    """When it was counted as paid, for credit or for a plan."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class GatewaySign(Base):
    """When a gateway last sent a webhook; see `billing/payments/gateway_heartbeat.py`."""

    __tablename__ = "gateway_signs"

    gateway: Mapped[str] = mapped_column(primary_key=True)
    last_event_at: Mapped[datetime | None]
    """None: it was listed, and never sent a webhook."""
    silent_since: Mapped[datetime | None]
    """When its silence was reported; None once it sends again."""
    disputes_asked_at: Mapped[datetime | None]
    """When its disputes were last listed."""

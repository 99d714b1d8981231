"""The tables.

Rules about what may be written stand in `billing/`; the ones that the database itself must hold
(append-only, unique keys, ranges) stand here and in the migrations.

Times are `timestamptz`, written by the application's clock in UTC. Amounts of credit are whole
numbers; money is in paise. Fill factors leave room for the in-place updates of hot rows.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of the tables: one naming scheme, 64-bit integers, text, times with a zone."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own declaration
        int: BigInteger,
        str: Text,
        bytes: LargeBinary,
        datetime: DateTime(timezone=True),
    }


class InboundEvent(Base):
    """One delivery that a sender made: the inbox. `db/inbox.py` is its only writer."""

    __tablename__ = "inbound_events"
    __table_args__ = (
        UniqueConstraint("source", "event_id", "body_sha256"),
        CheckConstraint("state IN ('pending', 'done', 'dead', 'ignored')", name="state"),
        Index(
            "ix_inbound_events_due",
            "source",
            "next_attempt_at",
            "id",
            postgresql_where=text("state = 'pending'"),
        ),
        Index("ix_inbound_events_dead", "id", postgresql_where=text("state = 'dead'")),
        # Half a page stays free: a lease then updates its rows in place, without index entries.
        {"postgresql_with": {"fillfactor": 50}},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    source: Mapped[str]
    event_id: Mapped[str]
    body_sha256: Mapped[bytes]
    body: Mapped[bytes]
    type: Mapped[str | None]
    received_at: Mapped[datetime]
    state: Mapped[str]
    outcome: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime]
    lease_id: Mapped[UUID | None]
    lease_size: Mapped[int | None]
    leased_until: Mapped[datetime | None]
    last_error: Mapped[str | None]
    handled_at: Mapped[datetime | None]


class Account(Base):
    """A customer's prepaid credit, as of its newest ledger row."""

    __tablename__ = "accounts"
    __table_args__ = (
        UniqueConstraint("ref"),
        CheckConstraint("held >= 0", name="held"),
        CheckConstraint("overdraft_limit >= 0", name="overdraft_limit"),
        CheckConstraint("low_balance >= 0", name="low_balance"),
        CheckConstraint("alert_level IN ('ok', 'low', 'exhausted', 'in_debt')", name="alert_level"),
        {"postgresql_with": {"fillfactor": 70}},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    ref: Mapped[str]
    product: Mapped[str]
    name: Mapped[str]
    timezone: Mapped[str]
    overdraft_limit: Mapped[int] = mapped_column(server_default=text("0"))
    balance: Mapped[int] = mapped_column(server_default=text("0"))
    held: Mapped[int] = mapped_column(server_default=text("0"))
    version: Mapped[int] = mapped_column(server_default=text("0"))
    head_hash: Mapped[bytes]
    created_at: Mapped[datetime]
    alert_level: Mapped[str] = mapped_column(server_default=text("'exhausted'"))
    """What the balance was last reported as; see `billing/alerts.py`."""
    low_balance: Mapped[int | None]
    """Up to so many credits the balance is low; None: as many as the catalog says."""
    review_reason: Mapped[str | None]
    """Why a person should look at the account: `disputes_most_leads`, `chargeback`."""
    state_code: Mapped[str | None]
    """GST state of the customer, two digits; decides how tax is split."""
    gstin: Mapped[str | None]


class TransactionKind(Base):
    """The house account at the other side of each kind of ledger row."""

    __tablename__ = "transaction_kinds"

    kind: Mapped[str] = mapped_column(primary_key=True)
    house_account: Mapped[str]


class CreditTransaction(Base):
    """One row of the ledger: append-only, chained by hash to the account's previous row."""

    __tablename__ = "credit_transactions"
    __table_args__ = (
        UniqueConstraint("idempotency_key"),
        UniqueConstraint("account_id", "version"),
        CheckConstraint("amount <> 0", name="amount"),
        CheckConstraint("version > 0", name="version"),
        CheckConstraint(
            "kind IN ('lead_charge', 'top_up', 'bonus', 'grant', 'goodwill', 'adjustment',"
            " 'usage', 'lead_refund', 'usage_refund', 'expiry', 'write_off', 'opening_balance',"
            " 'clawback', 'clawback_return', 'bonus_clawback', 'bonus_clawback_return')",
            name="kind",
        ),
        # The years 1970 to 9000 at any offset; Python could not even read a row of the year 10000.
        *(
            CheckConstraint(
                f"{column} >= '1969-12-31 00:00:00+00' AND {column} < '9001-01-02 00:00:00+00'",
                name=column,
            )
            for column in ("event_at", "created_at")
        ),
        Index(
            "ix_credit_transactions_reversals",
            "reverses_id",
            postgresql_where=text("reverses_id IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    version: Mapped[int]
    amount: Mapped[int]
    balance_after: Mapped[int]
    kind: Mapped[str]
    idempotency_key: Mapped[str]
    request_hash: Mapped[bytes]
    lead_id: Mapped[str | None]
    payment_id: Mapped[str | None]
    dispute_id: Mapped[str | None]
    actor: Mapped[str]
    description: Mapped[str]
    event_at: Mapped[datetime]
    created_at: Mapped[datetime]
    row_hash: Mapped[bytes]
    reverses_id: Mapped[int | None] = mapped_column(ForeignKey("credit_transactions.id"))
    """The charge that this row gives back, wholly or in part."""


class CreditLot(Base):
    """Credit that came in at one time from one source, and what is left of it."""

    __tablename__ = "credit_lots"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("remaining BETWEEN 0 AND amount", name="remaining"),
        CheckConstraint("(remaining = 0) = (exhausted_at IS NOT NULL)", name="exhausted"),
        CheckConstraint("source IN ('purchase', 'bonus', 'grant', 'goodwill')", name="source"),
        # `remaining` is in no index, so that taking from a lot updates its row in place.
        Index("ix_credit_lots_open", "account_id", postgresql_where=text("exhausted_at IS NULL")),
        Index(
            "ix_credit_lots_expiring",
            "expires_at",
            postgresql_where=text("exhausted_at IS NULL AND expires_at IS NOT NULL"),
        ),
        {"postgresql_with": {"fillfactor": 70}},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    # Without foreign keys, for the reason given at `LotMovement`.
    account_id: Mapped[int]
    transaction_id: Mapped[int]
    source: Mapped[str]
    amount: Mapped[int]
    remaining: Mapped[int]
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    exhausted_at: Mapped[datetime | None]


class LotMovement(Base):
    """How much of a lot was spent on which charge; append-only.

    `transaction_id` wrote the movement: the charge itself or, where the charge left a debt, the
    later credit that paid it. `amount` is negative when credit leaves the lot.
    """

    __tablename__ = "lot_movements"
    __table_args__ = (CheckConstraint("amount <> 0", name="amount"),)

    # Written by one place, which writes the named rows first, and never changed; a foreign key
    # here would cost a tenth of a drain. `billing/invariants.py` checks them.
    charge_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    lot_id: Mapped[int] = mapped_column(
        ForeignKey("credit_lots.id"), primary_key=True, autoincrement=False
    )
    transaction_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    amount: Mapped[int]


class CreditDebt(Base):
    """The part of a charge that no lot covered, and what is still unpaid of it."""

    __tablename__ = "credit_debts"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("remaining BETWEEN 0 AND amount", name="remaining"),
        CheckConstraint("(remaining = 0) = (settled_at IS NOT NULL)", name="settled"),
        Index("ix_credit_debts_open", "account_id", postgresql_where=text("settled_at IS NULL")),
    )

    charge_id: Mapped[int] = mapped_column(
        ForeignKey("credit_transactions.id"), primary_key=True, autoincrement=False
    )
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    amount: Mapped[int]
    remaining: Mapped[int]
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]


class Hold(Base):
    """Credit set aside for a charge whose amount is not known yet."""

    __tablename__ = "holds"
    __table_args__ = (
        UniqueConstraint("idempotency_key"),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("captured BETWEEN 0 AND amount", name="captured"),
        CheckConstraint("state IN ('open', 'captured', 'voided', 'expired')", name="state"),
        CheckConstraint("(state = 'open') = (finished_at IS NULL)", name="finished"),
        CheckConstraint("(state = 'captured') = (transaction_id IS NOT NULL)", name="transaction"),
        Index("ix_holds_open", "expires_at", postgresql_where=text("state = 'open'")),
        Index("ix_holds_open_account", "account_id", postgresql_where=text("state = 'open'")),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    amount: Mapped[int]
    captured: Mapped[int] = mapped_column(server_default=text("0"))
    state: Mapped[str]
    idempotency_key: Mapped[str]
    finish_key: Mapped[str | None]
    """The key of the request that captured or voided it."""
    kind: Mapped[str]
    """The kind of the charge that a capture posts."""
    actor: Mapped[str]
    description: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    """None: it never expires (credit frozen for a chargeback)."""
    finished_at: Mapped[datetime | None]
    transaction_id: Mapped[int | None] = mapped_column(ForeignKey("credit_transactions.id"))


class HoldEvent(Base):
    """One step in the life of a hold; append-only."""

    __tablename__ = "hold_events"
    __table_args__ = (
        CheckConstraint(
            "event IN ('placed', 'captured', 'released', 'voided', 'expired')", name="event"
        ),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    hold_id: Mapped[int] = mapped_column(ForeignKey("holds.id"), index=True)
    event: Mapped[str]
    amount: Mapped[int]
    actor: Mapped[str]
    created_at: Mapped[datetime]


class AuditEntry(Base):
    """Who changed what that is not itself a ledger row, and through which door; append-only."""

    __tablename__ = "billing_audit_log"
    __table_args__ = (
        CheckConstraint("door IN ('cli', 'api', 'webhook', 'celery', 'beat')", name="door"),
        Index(None, "subject", "id"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    created_at: Mapped[datetime]
    actor: Mapped[str]
    door: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    """What was changed: `account:clinic:42`, `hold:17`."""
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class LeadCharge(Base):
    """What became of a lead: charged, or parked until there is credit; see `billing/leads.py`."""

    __tablename__ = "lead_charges"
    __table_args__ = (
        CheckConstraint(
            "state IN ('charged', 'parked', 'conflict', 'refunded', 'cancelled')", name="state"
        ),
        CheckConstraint(
            "(transaction_id IS NULL) = (state IN ('parked', 'conflict', 'cancelled'))",
            name="charged",
        ),
        Index(
            "ix_lead_charges_parked",
            "account_id",
            "parked_number",
            postgresql_where=text("state = 'parked'"),
        ),
    )

    lead_id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    package_price_paise: Mapped[int]
    credits: Mapped[int]
    state: Mapped[str]
    transaction_id: Mapped[int | None]
    """Its ledger row; without a foreign key for the reason given at `LotMovement`."""
    source: Mapped[str | None]
    occurred_at: Mapped[datetime]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    parked_number: Mapped[int | None] = mapped_column(
        server_default=text("nextval('lead_parking_seq')")
    )
    """Its place among the parked: the lowest of an account is released first."""


class LeadConflict(Base):
    """A request for a lead that is on record with another account or package; nothing was taken.

    Append-only.
    """

    __tablename__ = "lead_conflicts"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    lead_id: Mapped[str] = mapped_column(index=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    package_price_paise: Mapped[int]
    actor: Mapped[str]
    created_at: Mapped[datetime]


class OutboxEvent(Base):
    """Something that happened and that others are to hear of: the outbox; see `db/outbox.py`."""

    __tablename__ = "outbox_events"
    __table_args__ = (
        Index(
            "ix_outbox_events_alerts",
            "id",
            postgresql_where=text("topic LIKE 'balance.%' OR topic LIKE 'gateway.%'"),
        ),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    topic: Mapped[str]
    subject: Mapped[str]
    """What it is about: `lead:L-17`, `account:clinic:42`."""
    account_id: Mapped[int | None]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime]
    superseded_at: Mapped[datetime | None]
    """Set where a newer one says it better: it is kept for the record and not sent."""


class ApiKey(Base):
    """A key for the API, kept as its hash; for one product or for one account."""

    __tablename__ = "api_keys"
    __table_args__ = (
        UniqueConstraint("name"),
        UniqueConstraint("key_sha256"),
        CheckConstraint("(product IS NULL) <> (account_id IS NULL)", name="reach"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str]
    key_sha256: Mapped[bytes]
    product: Mapped[str | None]
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class LedgerCheck(Base):
    """One scheduled verification of the ledger; unfinished where its process died."""

    __tablename__ = "ledger_checks"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    accounts: Mapped[int | None]
    transactions: Mapped[int | None]
    breaches: Mapped[int | None]


class Order(Base):
    """Something an account wants to buy at a gateway, from the wish on; see `billing/orders.py`."""

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
    """Ours, made before the gateway is asked: what finds the order again after a lost answer."""
    gateway_order_id: Mapped[str | None]
    package: Mapped[str | None]
    plan: Mapped[str | None]
    """What of the catalog's `plans` is bought; None: credit."""
    amount_paise: Mapped[int]
    currency: Mapped[str]
    credits: Mapped[int]
    """What is credited when it is paid, as priced when it was ordered."""
    bonus_credits: Mapped[int]
    state: Mapped[str]
    payment_id: Mapped[int | None]
    """The one payment that paid it: `billing_payments.id`."""
    plan_applied_at: Mapped[datetime | None]
    """When the year that it bought was added to the account's plan."""
    return_url: Mapped[str | None]
    checkout_url: Mapped[str | None]
    requested_by: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    next_ask_at: Mapped[datetime | None]
    """When the gateway is asked about it next; None: no more."""
    asks: Mapped[int] = mapped_column(server_default=text("0"))
    last_error: Mapped[str | None]


class Payment(Base):
    """A payment at a gateway, ours or not, and what became of it; see `billing/payments.py`."""

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
    """Up to what `refunded_paise` the gateway was asked for the refunds that explain it."""
    method: Mapped[str | None]
    fee_paise: Mapped[int | None]
    tax_paise: Mapped[int | None]
    error_code: Mapped[str | None]
    error_reason: Mapped[str | None]
    credits: Mapped[int] = mapped_column(server_default=text("0"))
    """What it brought its account, without the bonus."""
    bonus_credits: Mapped[int] = mapped_column(server_default=text("0"))
    transaction_id: Mapped[int | None]
    """The ledger row of the paid credit; without a foreign key for the reason at `LotMovement`."""
    happened_at: Mapped[datetime | None]
    credited_at: Mapped[datetime | None]
    """When it was counted as paid: credit, or a plan."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class GatewaySign(Base):
    """When a gateway was last heard of, to notice when it falls silent."""

    __tablename__ = "gateway_signs"

    gateway: Mapped[str] = mapped_column(primary_key=True)
    last_event_at: Mapped[datetime]
    silent_since: Mapped[datetime | None]
    """Set once its silence was reported, until it is heard again."""
    disputes_asked_at: Mapped[datetime | None]
    """When its disputes were last listed."""


class ApiRequest(Base):
    """A POST under its Idempotency-Key, and its answer once there is one."""

    __tablename__ = "api_requests"
    __table_args__ = (
        CheckConstraint("(status IS NULL) = (answer IS NULL)", name="answer"),
        Index(None, "created_at"),
    )

    caller: Mapped[str] = mapped_column(primary_key=True)
    """The name of the API key: keys of different callers never meet."""
    idempotency_key: Mapped[str] = mapped_column(primary_key=True)
    request: Mapped[str]
    """Method and path."""
    request_hash: Mapped[bytes]
    claimed_until: Mapped[datetime | None]
    """Until then somebody works on it; a process that died leaves it behind."""
    status: Mapped[int | None]
    answer: Mapped[str | None]
    """The JSON that was answered, as sent."""
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class LeadDispute(Base):
    """A clinic says that a lead was bad; see `billing/disputes.py`."""

    __tablename__ = "lead_disputes"
    __table_args__ = (
        UniqueConstraint("request_key"),
        CheckConstraint(
            "state IN ('pending', 'approved', 'partially_approved', 'rejected', 'withdrawn')",
            name="state",
        ),
        CheckConstraint("(state = 'pending') = (resolved_at IS NULL)", name="resolved"),
        CheckConstraint("credits_refunded >= 0", name="credits_refunded"),
        CheckConstraint(
            "(state IN ('approved', 'partially_approved')) = (credits_refunded > 0)",
            name="refunded",
        ),
        Index("uq_lead_disputes_open", "lead_id", unique=True,
              postgresql_where=text("state = 'pending'")),
        Index(None, "account_id", "created_at"),
        Index(None, "lead_id"),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    lead_id: Mapped[str] = mapped_column(ForeignKey("lead_charges.lead_id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    type: Mapped[str]
    """One of the catalog's dispute types."""
    description: Mapped[str]
    evidence: Mapped[Any | None] = mapped_column(JSONB)
    state: Mapped[str]
    request_key: Mapped[str]
    """Of the request that opened it: the same once more opens nothing."""
    opened_by: Mapped[str]
    created_at: Mapped[datetime]
    resolved_by: Mapped[str | None]
    resolved_at: Mapped[datetime | None]
    notes: Mapped[str | None]
    credits_refunded: Mapped[int] = mapped_column(server_default=text("0"))


class QualityScore(Base):
    """How much of the leads of an account or a source is disputed; see `billing/quality.py`."""

    __tablename__ = "quality_scores"
    __table_args__ = (
        CheckConstraint("subject_kind IN ('account', 'source')", name="subject_kind"),
        CheckConstraint("grade IS NULL OR grade IN ('good', 'average', 'poor')", name="grade"),
    )

    subject_kind: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    """The account's reference, or the name of the lead source."""
    leads: Mapped[int]
    disputes: Mapped[int]
    grade: Mapped[str | None]
    """None: too few leads to tell."""
    needs_review: Mapped[bool]
    computed_at: Mapped[datetime]


class CreditClaim:
    """What takes back the credit of a payment with its money; see `billing/claims.py`."""

    position: Mapped[str] = mapped_column(server_default=text("'none'"))
    """Where the credit is: with its owner (none), held for us (reserved), taken."""
    credits: Mapped[int] = mapped_column(server_default=text("0"))
    """What is reserved or taken of the paid credit."""
    bonus_credits: Mapped[int] = mapped_column(server_default=text("0"))
    debt: Mapped[int] = mapped_column(server_default=text("0"))
    """How much of both had been spent when it was taken, and was owed."""
    hold_id: Mapped[int | None] = mapped_column(ForeignKey("holds.id"))
    """What reserves the credit that was not spent."""
    takes: Mapped[int] = mapped_column(server_default=text("0"))
    """How often it was taken: after money came back, and went again, under other keys."""
    settled_at: Mapped[datetime | None]
    """When the credit was brought in line with the state; None: that is still to be done."""


class Refund(CreditClaim, Base):
    """Money on its way back to a payer, ours or the gateway's doing; see `billing/refunds.py`."""

    __tablename__ = "billing_refunds"
    __table_args__ = (
        UniqueConstraint("request_key"),
        UniqueConstraint("receipt"),
        UniqueConstraint("gateway", "gateway_refund_id"),
        CheckConstraint("amount_paise > 0", name="amount_paise"),
        CheckConstraint(
            "state IN ('requested', 'submitted', 'unknown', 'processed', 'failed')", name="state"
        ),
        CheckConstraint("credits >= 0 AND bonus_credits >= 0 AND debt >= 0", name="credits"),
        CheckConstraint("position IN ('none', 'reserved', 'taken')", name="position"),
        Index(None, "payment_id"),
        Index("ix_billing_refunds_due", "next_ask_at",
              postgresql_where=text("next_ask_at IS NOT NULL")),
        Index("ix_billing_refunds_unsettled", "id", postgresql_where=text("settled_at IS NULL")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    payment_id: Mapped[int] = mapped_column(ForeignKey("billing_payments.id"))
    gateway: Mapped[str]
    gateway_refund_id: Mapped[str | None]
    request_key: Mapped[str | None]
    """Of the request that asked for it; None: it was not asked for here."""
    receipt: Mapped[str | None]
    """Ours, repeated by the gateway: what finds it again after a lost answer."""
    amount_paise: Mapped[int]
    state: Mapped[str]
    reason: Mapped[str]
    requested_by: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    next_ask_at: Mapped[datetime | None]
    asks: Mapped[int] = mapped_column(server_default=text("0"))
    last_error: Mapped[str | None]


class Chargeback(CreditClaim, Base):
    """A payer's bank wants money back; see `billing/chargebacks.py`."""

    __tablename__ = "billing_chargebacks"
    __table_args__ = (
        UniqueConstraint("gateway", "gateway_dispute_id"),
        CheckConstraint("amount_paise >= 0", name="amount_paise"),
        CheckConstraint(
            "state IN ('open', 'under_review', 'action_required', 'won', 'lost', 'closed')",
            name="state",
        ),
        CheckConstraint("credits >= 0 AND bonus_credits >= 0 AND debt >= 0", name="credits"),
        CheckConstraint("position IN ('none', 'reserved', 'taken')", name="position"),
        Index(None, "payment_id"),
        Index("ix_billing_chargebacks_open", "respond_by",
              postgresql_where=text("state IN ('open', 'under_review', 'action_required')")),
        Index("ix_billing_chargebacks_unsettled", "id",
              postgresql_where=text("settled_at IS NULL")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    payment_id: Mapped[int] = mapped_column(ForeignKey("billing_payments.id"))
    gateway: Mapped[str]
    gateway_dispute_id: Mapped[str]
    amount_paise: Mapped[int]
    phase: Mapped[str | None]
    reason_code: Mapped[str | None]
    moves_money: Mapped[bool]
    """False: an inquiry, which freezes nothing."""
    respond_by: Mapped[datetime | None]
    state: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

"""The ledger: its rows, lots, movements and debts."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, OfRequest


class TransactionKind(Base):
    """The house account on the other side of each kind of ledger row."""

    __tablename__ = "transaction_kinds"

    kind: Mapped[str] = mapped_column(primary_key=True)
    house_account: Mapped[str]


class CreditTransaction(OfRequest, Base):
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
        # The years 1970 to 9000 at any offset; Python cannot read a row of the year 10000.
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
    """The charge that this row reverses, all or part of it."""


class CreditLot(Base):
    """Credit that came in at one time from one source, and what remains of it."""

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

    `transaction_id` wrote the movement: the charge itself, the later credit that paid its debt, or
    its reversal. `amount` is negative when credit leaves the lot.
    """

    __tablename__ = "lot_movements"
    __table_args__ = (CheckConstraint("amount <> 0", name="amount"),)

    # Without foreign keys, which would cost a tenth of a drain: only the ledger writes movements,
    # after the rows that they name. `billing/verification/balances.py` checks them.
    charge_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    lot_id: Mapped[int] = mapped_column(
        ForeignKey("credit_lots.id"), primary_key=True, autoincrement=False
    )
    transaction_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    amount: Mapped[int]


class CreditDebt(Base):
    """The part of a charge that no lot covered, and what of it is still unpaid."""

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

"""Plans and their paid years; written by `billing/plans/` only.

Dates are days in the account's time zone; the instants next to them are the beginnings of such
days.
"""

from datetime import date, datetime

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Date,
    ForeignKey,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, OfRequest


class AccountPlan(OfRequest, Base):
    """The plan of an account, where its calendar stands, and what is due next; one per account."""

    __tablename__ = "account_plans"
    __table_args__ = (
        CheckConstraint("years > 0", name="years"),
        CheckConstraint("branches >= 0", name="branches"),
        CheckConstraint("monthly_credits >= 0", name="monthly_credits"),
        CheckConstraint(
            "service_renewal_status IN ('active', 'due_soon', 'past_due', 'degraded')",
            name="status",
        ),
        CheckConstraint("extract(day FROM next_grant_month) = 1", name="next_grant_month"),
        Index("ix_account_plans_grants", "next_grant_at", "account_id"),
        Index("ix_account_plans_steps", "next_step_at", "account_id",
              postgresql_where=text("next_step_at IS NOT NULL")),
        Index("ix_account_plans_put_off", "account_id",
              postgresql_where=text("grant_problem IS NOT NULL OR step_problem IS NOT NULL")),
        {"postgresql_with": {"fillfactor": 70}},
    )  # fmt: skip

    account_id: Mapped[int] = mapped_column(
        ForeignKey("accounts.id"), primary_key=True, autoincrement=False
    )
    plan_type: Mapped[str]
    """Its name in the catalog's `plans`."""
    purchased_at: Mapped[datetime]
    anchor_on: Mapped[date] = mapped_column(Date)
    """The local day that every due date is counted from, in whole years."""
    years: Mapped[int]
    """How many years were paid from the anchor on."""
    service_renewal_next_due: Mapped[datetime]
    """The beginning of the local day `years` after the anchor."""
    grace_ends_at: Mapped[datetime]
    """From then on it is degraded; months that begin before it are granted."""
    service_renewal_status: Mapped[str]
    stepped_to: Mapped[int | None]
    """The last renewal step that was taken for this due date, in days from it; None: none was."""
    next_step_at: Mapped[datetime | None]
    """When the next step is due; None: there is none."""
    branches: Mapped[int]
    features: Mapped[list[str]] = mapped_column(ARRAY(Text))
    monthly_credits: Mapped[int]
    """Credits that each month brings, as sold when the plan was last paid for."""
    next_grant_month: Mapped[date] = mapped_column(Date)
    """First day of the month that is granted or withheld next; it moves on month by month."""
    next_grant_at: Mapped[datetime]
    """When that month begins in the account's zone; later if the plan was put off."""
    grant_problem: Mapped[str | None]
    """Why its months cannot be computed: it is put off, a person should look; None: they can."""
    step_problem: Mapped[str | None]
    """The same of its renewal steps."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class PlanTerm(OfRequest, Base):
    """A paid year of a plan: its purchase or a renewal; append-only."""

    __tablename__ = "plan_terms"
    __table_args__ = (
        UniqueConstraint("account_id", "number"),
        UniqueConstraint("request_key"),
        CheckConstraint("kind IN ('purchase', 'renewal')", name="kind"),
        CheckConstraint("ends_on > starts_on", name="days"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    number: Mapped[int]
    """1 is the purchase."""
    kind: Mapped[str]
    request_key: Mapped[str]
    """Of the payment (`razorpay:pay_X:plan`) or of the operator's request; each is one year."""
    paid_at: Mapped[datetime]
    starts_on: Mapped[date] = mapped_column(Date)
    ends_on: Mapped[date] = mapped_column(Date)
    """The due date that it leads to: the first day that is not paid."""
    actor: Mapped[str]
    created_at: Mapped[datetime]

"""Sections of the catalog on plans: what is sold, how a year ends, and what each state has."""

from string import Formatter
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from billing.catalog.section import Name, Section
from billing.money import MAX_CREDITS

PlanState = Literal["none", "active", "due_soon", "past_due", "degraded"]
"""The state of an account's plan; `none`: it never bought one."""

STATES_IN_CODE: dict[str, tuple[PlanState, ...]] = {
    "spend_credits": ("none", "active", "due_soon", "past_due", "degraded"),
    "monthly_grant": ("active", "due_soon", "past_due"),
}
"""Entitlements that `billing/credit` and `billing/plans` give themselves, in these states; the
platform gives all others."""


class Plan(Section):
    """A plan, or the renewal of one, that is bought by name."""

    product: str
    price_paise: Annotated[int, Field(ge=100)]
    renews: str | None = None
    """The plan that this is a further year of; None: it is a plan itself."""
    monthly_credits: Annotated[int, Field(ge=0, le=MAX_CREDITS)] | None = None
    branches: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    features: list[Name] = []

    @model_validator(mode="after")
    def _plan_or_renewal(self) -> Self:
        if (self.renews is None) == (self.monthly_credits is None):
            raise ValueError("needs either monthly_credits (a plan) or renews (a further year)")
        return self


class Grants(Section):
    """The credit that a plan brings each month."""

    catch_up_months: Annotated[int, Field(gt=0, le=120)] = 12


class Renewal(Section):
    """How a plan's year ends; days are counted from the day it is due."""

    due_soon_days: Annotated[int, Field(gt=0, le=300)] = 30
    grace_days: Annotated[int, Field(ge=0, le=300)] = 15
    reminder_days: list[Annotated[int, Field(ge=-300, le=300)]] = [-30, -7, -1, 0, 7, 15]


BANNER_FIELDS = ("plan", "due_on", "days_left", "grace_ends_on", "renewal_price")
"""What the text of a banner can be filled in with."""


class Banner(Section):
    """What a platform shows its customer while a plan is in some state."""

    level: Literal["info", "warning", "critical"]
    text: Annotated[str, Field(min_length=1, max_length=500)]

    @field_validator("text")
    @classmethod
    def _known_fields(cls, text: str) -> str:
        try:
            found = [field for _, *field in Formatter().parse(text) if field[0] is not None]
        except ValueError:  # a brace alone
            found = [[None]]
        # No formats either: one that fits an empty value may not fit the real one.
        if any(field not in ([name, "", None] for name in BANNER_FIELDS) for field in found):
            names = ", ".join(f"{{{name}}}" for name in BANNER_FIELDS)
            raise ValueError(f"may hold {names} and nothing else in braces")
        return text

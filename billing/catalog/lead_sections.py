"""Sections of the catalog on leads: their price, disputes, and the quality of their sources."""

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from billing.catalog.section import Name, Section, require_rising
from billing.money import MAX_CREDITS


class LeadTier(Section):
    """Leads whose package is worth at least `from_paise` cost `credits`."""

    from_paise: Annotated[int, Field(ge=0)]
    credits: Annotated[int, Field(gt=0, le=MAX_CREDITS)]


class LeadPricing(Section):
    """The price of a lead by the value of the package asked for."""

    tiers: list[LeadTier]

    @field_validator("tiers")
    @classmethod
    def _rising_from_zero(cls, tiers: list[LeadTier]) -> list[LeadTier]:
        if not tiers or tiers[0].from_paise != 0:
            raise ValueError("the first tier must start at from_paise = 0")
        require_rising("tiers", [tier.from_paise for tier in tiers])
        return tiers


class Disputes(Section):
    """For which reasons a lead can be disputed, and until when."""

    window_days: Annotated[int, Field(gt=0, le=3650)] = 30
    types: Annotated[list[Name], Field(min_length=1)] = [
        "wrong_number",
        "duplicate",
        "not_interested",
        "outside_area",
        "spam",
        "other",
    ]

    @field_validator("types")
    @classmethod
    def _each_once(cls, types: list[str]) -> list[str]:
        repeated = sorted({name for name in types if types.count(name) > 1})
        if repeated:
            raise ValueError(f"each type may stand once: remove the second {repeated[0]!r}")
        return types


class Quality(Section):
    """How the share of disputed leads is graded."""

    window_days: Annotated[int, Field(gt=0, le=3650)] = 90
    min_leads: Annotated[int, Field(gt=0, le=1_000_000)] = 20
    good_below_percent: Annotated[int, Field(ge=0, le=100)] = 10
    poor_from_percent: Annotated[int, Field(ge=0, le=100)] = 25
    review_from_percent: Annotated[int, Field(gt=0, le=100)] = 80

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.poor_from_percent < self.good_below_percent:
            raise ValueError("poor_from_percent must not be less than good_below_percent")
        return self

"""The numbers of the business: `catalog.toml`, read once and validated at start."""

import tomllib
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from string import Formatter
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

import settings
from billing.money import MAX_CREDITS
from billing.text import field_problems


class CatalogError(Exception):
    """The catalog does not make sense; the message names the place and the reason."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class LeadTier(_Section):
    """Leads whose package is worth at least `from_paise` cost `credits`."""

    from_paise: Annotated[int, Field(ge=0)]
    credits: Annotated[int, Field(gt=0, le=MAX_CREDITS)]


class LeadPricing(_Section):
    """The price of a lead by the value of the package asked for."""

    tiers: list[LeadTier]

    @field_validator("tiers")
    @classmethod
    def _ascending_from_nought(cls, tiers: list[LeadTier]) -> list[LeadTier]:
        if not tiers or tiers[0].from_paise != 0:
            raise ValueError("the first tier must start at from_paise = 0")
        for lower, upper in pairwise(tiers):
            if upper.from_paise <= lower.from_paise:
                raise ValueError(
                    f"tiers must rise: {upper.from_paise} comes after {lower.from_paise}"
                )
        return tiers


class Product(_Section):
    """A product that accounts can belong to."""

    name: Annotated[str, Field(min_length=1)]
    leads_without_credit: Literal["park", "charge"] = "park"
    """What becomes of a lead that an account cannot pay: it waits, or it is charged as debt."""


class Lots(_Section):
    """How long credit lives."""

    # With its default, so that a catalog of before is still a catalog.
    refund_of_expired_days: Annotated[int, Field(gt=0, le=3650)] = 30


class Alerts(_Section):
    """When the owner of an account is told about its balance."""

    low_balance: Annotated[int, Field(ge=0, le=MAX_CREDITS)] = 500


class Slab(_Section):
    """Money from `from_paise` on brings `bonus_percent` of its credits on top."""

    from_paise: Annotated[int, Field(ge=100)]
    bonus_percent: Annotated[int, Field(ge=0, le=1000)]


class TopUps(_Section):
    """What money buys on accounts of one product."""

    credits_per_rupee: Annotated[int, Field(gt=0, le=1_000_000)]
    slabs: Annotated[list[Slab], Field(min_length=1)]

    @field_validator("slabs")
    @classmethod
    def _ascending(cls, slabs: list[Slab]) -> list[Slab]:
        for lower, upper in pairwise(slabs):
            if upper.from_paise <= lower.from_paise:
                raise ValueError(
                    f"slabs must rise: {upper.from_paise} comes after {lower.from_paise}"
                )
        return slabs


class Package(_Section):
    """Credit that is bought by name."""

    product: str
    price_paise: Annotated[int, Field(ge=100)]
    credits: Annotated[int, Field(gt=0, le=MAX_CREDITS)] | None = None
    """None: what the price buys by the product's `top_ups`."""


class Plan(_Section):
    """A plan, or the renewal of one, that is bought by name."""

    product: str
    price_paise: Annotated[int, Field(ge=100)]
    renews: str | None = None
    """The plan that this is a further year of; None: it is a plan itself."""
    monthly_credits: Annotated[int, Field(ge=0, le=MAX_CREDITS)] | None = None
    branches: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    features: list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]] = []

    @model_validator(mode="after")
    def _plan_or_renewal(self) -> Self:
        if (self.renews is None) == (self.monthly_credits is None):
            raise ValueError("needs monthly_credits for a plan, or renews for a year more of one")
        return self


class Grants(_Section):
    """The credit that a plan brings each month."""

    catch_up_months: Annotated[int, Field(gt=0, le=120)] = 12


class Renewal(_Section):
    """How a plan's year ends; days are counted from the day it is due."""

    due_soon_days: Annotated[int, Field(gt=0, le=300)] = 30
    grace_days: Annotated[int, Field(ge=0, le=300)] = 15
    reminder_days: list[Annotated[int, Field(ge=-300, le=300)]] = [-30, -7, -1, 0, 7, 15]


class Banner(_Section):
    """What a platform shows its customer while a plan is in some state."""

    level: Literal["info", "warning", "critical"]
    text: Annotated[str, Field(min_length=1, max_length=500)]

    @field_validator("text")
    @classmethod
    def _known_places(cls, text: str) -> str:
        try:
            fields = [field for _, *field in Formatter().parse(text) if field[0] is not None]
        except ValueError:  # a brace alone
            fields = [[None]]
        # No formats either: what fits now may not fit what it is filled in with.
        if any(field not in ([place, "", None] for place in BANNER_PLACES) for field in fields):
            places = ", ".join(f"{{{place}}}" for place in BANNER_PLACES)
            raise ValueError(f"may hold {places} and nothing else in braces")
        return text


BANNER_PLACES = ("plan", "due_on", "days_left", "grace_ends_on", "renewal_price")
"""What the text of a banner is filled in with."""

PlanState = Literal["none", "active", "due_soon", "past_due", "degraded"]
"""The state of an account's plan; `none`: it never bought one."""

_DONE_HERE: dict[str, tuple[PlanState, ...]] = {
    "spend_credits": ("none", "active", "due_soon", "past_due", "degraded"),
    "monthly_grant": ("active", "due_soon", "past_due"),
}
"""What not the platform gives, but `billing/credit/holds.py` and `grants.py`, in these states."""


class Payments(_Section):
    """How long payments may take before somebody asks."""

    ask_after_minutes: Annotated[int, Field(gt=0, le=1440)] = 15
    give_up_after_days: Annotated[int, Field(gt=0, le=90)] = 7
    capture_after_seconds: Annotated[int, Field(ge=0, le=86_400)] = 20
    silent_after_minutes: Annotated[int, Field(gt=0, le=10_080)] = 120


class Refunds(_Section):
    """What becomes of credit whose money goes back and which was spent already."""

    when_spent: Literal["debt", "cap"] = "debt"


class Disputes(_Section):
    """What a clinic may say of a lead that was bad, and until when."""

    window_days: Annotated[int, Field(gt=0, le=3650)] = 30
    types: Annotated[
        list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]], Field(min_length=1)
    ] = [
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
        if len(set(types)) < len(types):
            raise ValueError("each type stands once")
        return types


class Quality(_Section):
    """What the share of disputed leads is called."""

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


class Catalog(_Section):
    """All of catalog.toml."""

    lead_pricing: LeadPricing
    products: Annotated[dict[str, Product], Field(min_length=1)]
    lots: Lots = Lots()
    alerts: Alerts = Alerts()
    top_ups: dict[str, TopUps] = {}
    packages: dict[str, Package] = {}
    plans: dict[str, Plan] = {}
    payments: Payments = Payments()
    refunds: Refunds = Refunds()
    disputes: Disputes = Disputes()
    quality: Quality = Quality()
    grants: Grants = Grants()
    renewal: Renewal = Renewal()
    entitlements: dict[str, list[PlanState]] = {}
    """Entitlement -> the states that have it."""
    banners: dict[PlanState, Banner] = {}

    @field_validator("entitlements")
    @classmethod
    def _as_it_is_done(cls, told: dict[str, list[PlanState]]) -> dict[str, list[PlanState]]:
        for name, states in _DONE_HERE.items():
            if set(told.get(name, states)) != set(states):
                raise ValueError(f"{name} must be {', '.join(states)}: it says what is done here")
        return told

    @model_validator(mode="after")
    def _known_products(self) -> Self:
        sold = {
            **{f"top_ups.{product}": product for product in self.top_ups},
            **{f"packages.{name}": package.product for name, package in self.packages.items()},
            **{f"plans.{name}": plan.product for name, plan in self.plans.items()},
        }
        for place, product in sold.items():
            if product not in self.products:
                raise ValueError(f"{place}: there is no product {product!r}")
        for name, plan in self.plans.items():
            renewed = self.plans.get(plan.renews) if plan.renews else None
            if plan.renews is None:
                continue
            if renewed is None or renewed.renews or renewed.product != plan.product:
                raise ValueError(f"plans.{name}: renews names no plan of {plan.product}")
        no_plan = self.banners.get("none")
        if no_plan and no_plan.text.replace("{plan}", "").count("{"):
            raise ValueError("banners.none: may hold {plan} and nothing else in braces")
        for name, package in self.packages.items():
            if package.credits is None and package.product not in self.top_ups:
                raise ValueError(f"packages.{name}: needs credits, or top_ups.{package.product}")
        return self


@lru_cache(maxsize=1)
def get() -> Catalog:
    """Return the catalog of this process; raises `CatalogError` where it does not make sense."""
    return load(settings.get().billing_catalog)


def load(path: Path) -> Catalog:
    """Read and validate one catalog file."""
    try:
        return Catalog.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise CatalogError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path}: is not TOML: {error}") from error
    except ValidationError as error:
        # A problem between several sections names its place itself.
        lines = [
            f"{path}: {place}: {reason}" if place else f"{path}: {reason}"
            for place, reason in field_problems(error, whole="")
        ]
        raise CatalogError("\n".join(lines)) from error

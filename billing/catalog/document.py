"""The whole of catalog.toml, and what its sections must agree on."""

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from billing.catalog.lead_sections import Disputes, LeadPricing, Quality
from billing.catalog.plan_sections import (
    STATES_IN_CODE,
    Banner,
    Grants,
    Plan,
    PlanState,
    Renewal,
)
from billing.catalog.sale_sections import (
    Alerts,
    Lots,
    Package,
    Payments,
    Product,
    Refunds,
    TopUps,
)
from billing.catalog.section import Section


class Catalog(Section):
    """All of catalog.toml, in the order of the file."""

    lead_pricing: LeadPricing
    products: Annotated[dict[str, Product], Field(min_length=1)]
    lots: Lots = Lots()
    alerts: Alerts = Alerts()
    top_ups: dict[str, TopUps] = {}
    """By product."""
    packages: dict[str, Package] = {}
    plans: dict[str, Plan] = {}
    grants: Grants = Grants()
    renewal: Renewal = Renewal()
    entitlements: dict[str, list[PlanState]] = {}
    """Entitlement -> the states that have it."""
    banners: dict[PlanState, Banner] = {}
    payments: Payments = Payments()
    refunds: Refunds = Refunds()
    disputes: Disputes = Disputes()
    quality: Quality = Quality()

    @property
    def lead_product(self) -> str | None:
        """The product that is charged for leads; None if several are, or nothing says which.

        It is the one that says what becomes of a lead without credit, or the only one there is.
        """
        names = [
            n for n, p in self.products.items() if "leads_without_credit" in p.model_fields_set
        ]
        candidates = names or list(self.products)
        return candidates[0] if len(candidates) == 1 else None

    @field_validator("entitlements")
    @classmethod
    def _as_in_code(cls, given: dict[str, list[PlanState]]) -> dict[str, list[PlanState]]:
        for name, states in STATES_IN_CODE.items():
            if set(given.get(name, states)) != set(states):
                wanted = ", ".join(states)
                raise ValueError(f"{name} must be {wanted}: the back office gives it in these")
        return given

    @model_validator(mode="after")
    def _sold_for_known_products(self) -> Self:
        sold = {
            **{f"top_ups.{product}": product for product in self.top_ups},
            **{f"packages.{name}": package.product for name, package in self.packages.items()},
            **{f"plans.{name}": plan.product for name, plan in self.plans.items()},
        }
        for key, product in sold.items():
            if product not in self.products:
                raise ValueError(
                    f"{key}: there is no product {product!r}: add it to [products], or name one of"
                    f" {', '.join(self.products)}"
                )
        return self

    @model_validator(mode="after")
    def _priced_packages(self) -> Self:
        for name, package in self.packages.items():
            if package.credits is None and package.product not in self.top_ups:
                raise ValueError(
                    f"packages.{name}: needs credits, or a section [top_ups.{package.product}]"
                )
        return self

    @model_validator(mode="after")
    def _renewals_of_plans(self) -> Self:
        for name, plan in self.plans.items():
            if plan.renews is None:
                continue
            renewed = self.plans.get(plan.renews)
            if renewed is None or renewed.renews or renewed.product != plan.product:
                raise ValueError(
                    f"plans.{name}: renews must name a plan of {plan.product}, not {plan.renews!r}"
                )
        return self

    @model_validator(mode="after")
    def _banner_without_plan(self) -> Self:
        banner = self.banners.get("none")
        if banner and banner.text.replace("{plan}", "").count("{"):
            raise ValueError("banners.none: may hold {plan} and nothing else in braces")
        return self

"""`/v1/catalog`: what is sold and what it costs, so that a platform copies no number."""

from http import HTTPMethod

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from api import auth
from api.examples import UNKNOWN_PRODUCT, Example
from api.fields import require_product
from api.routes import route
from billing import accounts
from billing import catalog as rules
from billing.payments import price_list
from db.session import transaction

catalog = APIBlueprint("catalog", __name__, url_prefix="/v1", abp_tags=[Tag(name="catalog")])


class Product(BaseModel):
    """A product that accounts belong to."""

    name: str = Field(description="as the field product of an account")
    title: str = Field(description="for people")


class Package(BaseModel):
    """Credit that is bought by name."""

    model_config = ConfigDict(from_attributes=True)

    name: str = Field(description="as the field package of an order")
    product: str
    price_paise: int
    credits: int = Field(description="without the bonus")
    bonus_credits: int


class Slab(BaseModel):
    """Money from `from_paise` on brings `bonus_percent` of its credits on top."""

    model_config = ConfigDict(from_attributes=True)

    from_paise: int
    bonus_percent: int


class FreeAmount(BaseModel):
    """What any amount of money buys: credits by the rupee, rounded down.

    The highest slab that the amount reaches decides the bonus, which is rounded down as well.
    """

    model_config = ConfigDict(from_attributes=True)

    product: str
    from_paise: int = Field(description="the least amount")
    to_paise: int = Field(description="the largest amount")
    credits_per_rupee: int
    slabs: list[Slab] = Field(description="rising")


class Plan(BaseModel):
    """A plan, or a further year of one, and what it brings."""

    model_config = ConfigDict(from_attributes=True)

    name: str = Field(description="as the field plan of an order")
    product: str
    price_paise: int
    renews: str | None = Field(description="the plan that this is a further year of, or null")
    monthly_credits: int
    branches: int
    features: list[str]


class LeadTier(BaseModel):
    """Leads whose package is worth at least `from_paise`, up to the next tier, cost `credits`."""

    model_config = ConfigDict(from_attributes=True)

    from_paise: int
    credits: int


class LeadPricing(BaseModel):
    """What a lead costs, by the value of the package asked for."""

    tiers: list[LeadTier] = Field(description="rising, from zero")


class DisputeRules(BaseModel):
    """For which reasons a lead can be disputed, and for how long."""

    types: list[str]
    window_days: int = Field(description="days after the charge")


class Catalog(BaseModel):
    """What is sold to accounts in the key's reach. Money is in paise of `currency`."""

    currency: str
    products: list[Product]
    packages: list[Package]
    free_amounts: list[FreeAmount] = Field(
        description="a product that is sold in packages only has none"
    )
    plans: list[Plan]
    lead_pricing: LeadPricing
    disputes: DisputeRules


_CLINIC_LEADS = {
    "currency": "INR",
    "products": [{"name": "clinic_leads", "title": "Clinic marketplace"}],
    "packages": [
        {
            "name": f"credits_{credits_}",
            "product": "clinic_leads",
            "price_paise": credits_ * 100,
            "credits": credits_,
            "bonus_credits": bonus,
        }
        for credits_, bonus in (
            (1_000, 0),
            (5_000, 500),
            (10_000, 1_500),
            (25_000, 5_000),
            (50_000, 12_500),
        )
    ],
    "free_amounts": [
        {
            "product": "clinic_leads",
            "from_paise": 100_000,
            "to_paise": 100_000_000_000,
            "credits_per_rupee": 1,
            "slabs": [
                {"from_paise": 100_000, "bonus_percent": 0},
                {"from_paise": 500_000, "bonus_percent": 10},
                {"from_paise": 1_000_000, "bonus_percent": 15},
                {"from_paise": 2_500_000, "bonus_percent": 20},
                {"from_paise": 5_000_000, "bonus_percent": 25},
            ],
        }
    ],
    "plans": [],
    "lead_pricing": {
        "tiers": [
            {"from_paise": 0, "credits": 100},
            {"from_paise": 500_000, "credits": 180},
            {"from_paise": 1_000_000, "credits": 250},
            {"from_paise": 2_000_000, "credits": 320},
            {"from_paise": 5_000_000, "credits": 400},
            {"from_paise": 10_000_000, "credits": 500},
        ]
    },
    "disputes": {
        "types": [
            "wrong_number",
            "duplicate",
            "not_interested",
            "outside_area",
            "spam",
            "other",
        ],
        "window_days": 30,
    },
}


class CatalogQuery(BaseModel):
    """A filter; without it, everything in the key's reach is shown."""

    model_config = ConfigDict(extra="forbid")

    product: str | None = Field(default=None, description="only what is sold for this product")


@route(
    catalog,
    HTTPMethod.GET,
    "/catalog",
    scope="catalog:read",
    answers=Catalog,
    example=Example(
        query={"product": "clinic_leads"}, answer=_CLINIC_LEADS, refused=(UNKNOWN_PRODUCT,)
    ),
)
def show(query: CatalogQuery) -> Catalog:
    """Show what is sold, and what it costs.

    A key for a product, or for an account of it, sees that product alone. The figures are those
    that an order gets now: they change when the operator changes the catalog.
    """
    known = rules.get()
    require_product(query.product)
    in_reach = _product_in_reach()
    products = [
        name
        for name in known.products
        if in_reach in {None, name} and query.product in {None, name}
    ]
    amounts = [price_list.find_free_amount(product) for product in products]
    return Catalog(
        currency=price_list.CURRENCY,
        products=[Product(name=name, title=known.products[name].name) for name in products],
        packages=[
            Package.model_validate(offer)
            for product in products
            for offer in price_list.packages(product)
        ],
        free_amounts=[FreeAmount.model_validate(amount) for amount in amounts if amount],
        plans=[
            Plan.model_validate(offer)
            for product in products
            for offer in price_list.plans(product)
        ],
        lead_pricing=LeadPricing(
            tiers=[LeadTier.model_validate(tier) for tier in known.lead_pricing.tiers]
        ),
        disputes=DisputeRules(types=known.disputes.types, window_days=known.disputes.window_days),
    )


def _product_in_reach() -> str | None:
    """Return the product of the caller's key or of its account; None: all."""
    caller = auth.caller()
    if caller.account_id is None:
        return caller.product
    with transaction() as session:
        return accounts.product_of(session, caller.account_id)

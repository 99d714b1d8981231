"""What is sold, at which price and for how much credit: what a platform shows to its customers.

Called by `api/catalog.py`. The figures are those that an order gets (`pricing.py`). Pure.
"""

from dataclasses import dataclass

from billing import catalog
from billing.catalog import Slab
from billing.payments import pricing

CURRENCY = pricing.CURRENCY


@dataclass(frozen=True, slots=True)
class PackageOffer:
    """Credit that is bought by name."""

    name: str
    product: str
    price_paise: int
    credits: int
    bonus_credits: int


@dataclass(frozen=True, slots=True)
class FreeAmount:
    """Credit that any amount of money from `from_paise` to `to_paise` buys on a product."""

    product: str
    from_paise: int
    to_paise: int
    credits_per_rupee: int
    slabs: list[Slab]


@dataclass(frozen=True, slots=True)
class PlanOffer:
    """A plan, or a further year of one (`renews`), and what either brings."""

    name: str
    product: str
    price_paise: int
    renews: str | None
    monthly_credits: int
    branches: int
    features: list[str]


def packages(product: str) -> list[PackageOffer]:
    """Return the packages of a product, in the order of the catalog."""
    offers = []
    for name, package in catalog.get().packages.items():
        if package.product == product:
            quote = pricing.quote(product, package=name, amount_paise=None, plan=None)
            offers.append(
                PackageOffer(name, product, quote.amount_paise, quote.credits, quote.bonus_credits)
            )
    return offers


def find_free_amount(product: str) -> FreeAmount | None:
    """Return what free amounts of money buy; None if the product is sold in packages only."""
    rules = catalog.get().top_ups.get(product)
    if rules is None:
        return None
    return FreeAmount(
        product,
        rules.slabs[0].from_paise,
        pricing.MAX_ORDER_PAISE,
        rules.credits_per_rupee,
        list(rules.slabs),
    )


def plans(product: str) -> list[PlanOffer]:
    """Return the plans of a product and their renewals, in the order of the catalog.

    A further year brings what the plan itself brings.
    """
    sold = catalog.get().plans
    offers = []
    for name, plan in sold.items():
        if plan.product == product:
            brings = sold[plan.renews] if plan.renews is not None else plan
            offers.append(
                PlanOffer(
                    name,
                    product,
                    plan.price_paise,
                    plan.renews,
                    brings.monthly_credits or 0,
                    brings.branches,
                    list(brings.features),
                )
            )
    return offers

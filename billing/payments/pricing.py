"""What money buys, by the catalog: the price of an order, and the credits of an amount. Pure.

Called when an order is created, and when an operator attaches money to an account.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from billing import catalog
from billing.catalog import Slab
from billing.plans import InvalidOrder

CURRENCY = "INR"
MAX_ORDER_PAISE = 10**11
"""Rs 100 crore: above the limit of every gateway, and far below what the ledger can hold."""
PAISE_PER_RUPEE = 100


@dataclass(frozen=True, slots=True)
class Quote:
    """What an order costs and brings."""

    amount_paise: int
    credits: int
    """Without the bonus; zero for a plan."""
    bonus_credits: int
    title: str
    """Names the purchase for the customer."""


def quote(
    product: str, *, package: str | None, amount_paise: int | None, plan: str | None
) -> Quote:
    """Return the price of a package, an amount or a plan of a product: exactly one is given.

    Raises `InvalidOrder`, which names the field.
    """
    if sum(value is not None for value in (package, amount_paise, plan)) != 1:
        raise InvalidOrder("package", "give exactly one of package, amount_paise and plan")
    if package is not None:
        return _package(product, package)
    if plan is not None:
        return _plan(product, plan)
    assert amount_paise is not None  # the only one left
    return _amount(product, amount_paise)


def credits_for(product: str, amount_paise: int) -> tuple[int, int] | None:
    """Return the credits and the bonus credits that an amount of money buys; None: not for sale.

    The price of a package buys the package. Any other amount, even one too small to be ordered,
    buys credits by the rupee and the bonus of the highest slab that it reaches, both rounded down.
    """
    for offer in catalog.get().packages.values():
        if offer.product == product and offer.price_paise == amount_paise and offer.credits:
            return offer.credits, 0
    rules = catalog.get().top_ups.get(product)
    if rules is None:
        return None
    bought = amount_paise * rules.credits_per_rupee // PAISE_PER_RUPEE
    return bought, bought * _bonus_percent(rules.slabs, amount_paise) // 100


def _bonus_percent(slabs: Sequence[Slab], amount_paise: int) -> int:
    reached = (slab.bonus_percent for slab in reversed(slabs) if slab.from_paise <= amount_paise)
    return next(reached, 0)


def _package(product: str, name: str) -> Quote:
    offered = catalog.get().packages
    package = offered.get(name)
    if package is None or package.product != product:
        known = ", ".join(n for n, offer in offered.items() if offer.product == product)
        problem = f"must be one of {known} for {product}" if known else f"{product} has no packages"
        raise InvalidOrder("package", problem)
    if package.credits is not None:
        bought, bonus = package.credits, 0
    else:
        found = credits_for(product, package.price_paise)
        assert found is not None  # the catalog is validated for it
        bought, bonus = found
    return Quote(package.price_paise, bought, bonus, f"{bought + bonus:,} credits")


def _plan(product: str, name: str) -> Quote:
    offered = catalog.get().plans
    plan = offered.get(name)
    if plan is None or plan.product != product:
        known = ", ".join(n for n, offer in offered.items() if offer.product == product)
        problem = f"must be one of {known} for {product}" if known else f"{product} has no plans"
        raise InvalidOrder("plan", problem)
    return Quote(plan.price_paise, 0, 0, name.replace("_", " "))


def _amount(product: str, amount_paise: int) -> Quote:
    rules = catalog.get().top_ups.get(product)
    if rules is None:
        raise InvalidOrder(
            "amount_paise", f"{product} is sold in packages only: give package instead"
        )
    least = rules.slabs[0].from_paise
    if type(amount_paise) is not int or not least <= amount_paise <= MAX_ORDER_PAISE:
        raise InvalidOrder("amount_paise", f"must be from {least} to {MAX_ORDER_PAISE} paise")
    found = credits_for(product, amount_paise)
    assert found is not None  # the product has top-up rules
    return Quote(amount_paise, *found, f"{sum(found):,} credits")
